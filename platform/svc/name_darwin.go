package svc

// managerName is the service's name on macOS, where names are domains the other way
// round.
const managerName = "com.github.reach64"
