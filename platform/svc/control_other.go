//go:build !darwin

package svc

import "github.com/kardianos/service"

// controlled is the view whose control this system wants: the library's own.
func controlled(s service.Service) service.Service { return s }
