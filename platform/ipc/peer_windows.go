package ipc

import (
	"errors"
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/windows"
)

var impersonate = windows.NewLazySystemDLL("advapi32.dll").NewProc("ImpersonateNamedPipeClient")

// peerOf asks the system whom the client's end belongs to, and whether its token
// has the rights of an administrator: one who has not raised them has not.
func peerOf(c net.Conn) (Peer, error) {
	p, ok := c.(conn)
	if !ok {
		return Peer{}, fmt.Errorf("read peer of %T: not a pipe", c)
	}
	var pid uint32
	if err := windows.GetNamedPipeClientProcessId(p.handle, &pid); err != nil {
		return Peer{}, fmt.Errorf("read peer: %w", err)
	}
	token, err := clientToken(p.handle)
	if err != nil {
		return Peer{}, fmt.Errorf("read peer: %w", err)
	}
	defer token.Close()
	user, err := token.GetTokenUser()
	if err != nil {
		return Peer{}, fmt.Errorf("read peer: %w", err)
	}
	peer := Peer{UID: -1, GID: -1, PID: int(pid), User: user.User.Sid.String()}
	peer.Admin, err = isAdmin(token, user.User.Sid)
	if err != nil {
		return Peer{}, fmt.Errorf("read peer: %w", err)
	}
	return peer, nil
}

// clientToken returns the token that the client had when it connected.
func clientToken(pipe windows.Handle) (token windows.Token, err error) {
	if err := impersonate.Find(); err != nil {
		return 0, err
	}
	runtime.LockOSThread() // the identity is the thread's
	defer runtime.UnlockOSThread()
	if ok, _, err := impersonate.Call(uintptr(pipe)); ok == 0 {
		return 0, fmt.Errorf("take the client's identity: %w", err)
	}
	err = windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &token)
	if rerr := windows.RevertToSelf(); rerr != nil {
		// A thread that is somebody else must not go on.
		panic(fmt.Sprintf("give the client's identity back: %v", rerr))
	}
	if err != nil {
		return 0, fmt.Errorf("read the client's token: %w", err)
	}
	return token, nil
}

// isAdmin tells whether the token is the system's, or has the group of
// administrators switched on.
func isAdmin(token windows.Token, user *windows.SID) (bool, error) {
	if user.IsWellKnown(windows.WinLocalSystemSid) {
		return true, nil
	}
	admins, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return false, err
	}
	return token.IsMember(admins)
}

// errStranger is the cause when a pipe belongs to somebody who may not be the service.
var errStranger = errors.New("the pipe belongs to another program, which pretends to be the service")

// trusted tells whether a pipe belongs to the system, to administrators, or to this
// user: any other program could have made one of that name.
func trusted(pipe windows.Handle) error {
	descr, err := windows.GetSecurityInfo(pipe, windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("read the owner of the pipe: %w", err)
	}
	owner, _, err := descr.Owner()
	if err != nil || owner == nil {
		return fmt.Errorf("read the owner of the pipe: %w", errors.Join(err, errStranger))
	}
	self, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("read this user: %w", err)
	}
	return trustedOwner(owner, self.User.Sid)
}

func trustedOwner(owner, self *windows.SID) error {
	if owner.IsWellKnown(windows.WinLocalSystemSid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.Equals(self) {
		return nil
	}
	return fmt.Errorf("%w: its owner is %s", errStranger, owner)
}
