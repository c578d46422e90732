package svc

const managerName = label
