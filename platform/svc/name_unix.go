//go:build unix && !darwin

package svc

const managerName = Name
