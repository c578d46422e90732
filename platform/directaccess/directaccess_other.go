//go:build !windows

package directaccess

import "github.com/reach64/reach64/platform"

// System returns an error: only Windows has DirectAccess.
func System() (Tree, []Adapter, error) {
	return Tree{}, nil, platform.Unsupported("DirectAccess policy")
}
