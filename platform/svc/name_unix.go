//go:build unix && !darwin

package svc

// managerName is the unit's name.
const managerName = Name
