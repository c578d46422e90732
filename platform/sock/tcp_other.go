//go:build !linux && !darwin

package sock

import "github.com/reach64/reach64/platform"

func limit(uintptr, int) error { return platform.Unsupported("small TCP segments") }

func pathMTU(uintptr) int { return 0 }
