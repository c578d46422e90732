package sock

import "golang.org/x/sys/unix"

func bind(fd uintptr, _, link string) error {
	return unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, link)
}
