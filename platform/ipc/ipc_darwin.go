package ipc

import "golang.org/x/sys/unix"

func peer(fd uintptr) (Peer, error) {
	c, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	p := Peer{UID: int(c.Uid), GID: -1}
	if c.Ngroups > 0 {
		p.GID = int(c.Groups[0])
	}
	p.PID, err = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	return p, err
}
