//go:build !unix && !windows

package lock

import (
	"os"

	"github.com/reach64/reach64/platform"
)

func tryLock(*os.File) error { return platform.Unsupported("lock file") }
