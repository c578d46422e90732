package paths

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/reach64/reach64/platform"
)

// programData asks the system: the environment of a service may lack the variable,
// and anybody can change that of a program.
func programData() string {
	path, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT)
	if err != nil {
		return os.Getenv("ProgramData")
	}
	return path
}

// What lies in ProgramData inherits that every user may make files there. These
// descriptors inherit nothing (P), and belong to administrators: whoever made the
// folder first does not keep it.
const (
	configRights = "O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)" // users read
	stateRights  = "O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
)

func secure() error {
	p := places()
	if err := guard(p.config, configRights); err != nil {
		return err
	}
	return guard(p.state, stateRights)
}

// secureProgram leaves what lies below Program Files alone: that is guarded.
func secureProgram() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the folder of this program: %w", err)
	}
	guarded, err := windows.KnownFolderPath(windows.FOLDERID_ProgramFiles, windows.KF_FLAG_DEFAULT)
	if err != nil {
		return fmt.Errorf("find the folder of programs: %w", err)
	}
	folder := filepath.Dir(program)
	if rest, ok := strings.CutPrefix(strings.ToLower(folder), strings.ToLower(guarded)); ok && strings.HasPrefix(rest, `\`) {
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("look into the folder of this program: %w", err)
	}
	for _, e := range entries {
		if !own(e.Name()) {
			return fmt.Errorf("guard %s: %s in it is not reach64's: the program needs a folder of its own (INSTALLDIR)", folder, e.Name())
		}
	}
	return guard(folder, configRights)
}

// own tells whether a file in the folder of the program comes from its package.
func own(name string) bool {
	for _, pattern := range []string{"reach64*", "wintun*", "LICENSE*.txt", "README.md", "CHANGELOG.md"} {
		if ok, err := filepath.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

// guard makes a folder with these rights, or gives them to one that is there.
func guard(folder, rights string) error {
	descr, err := windows.SecurityDescriptorFromString(rights)
	if err != nil {
		return fmt.Errorf("make rights of %s: %w", folder, err)
	}
	name, err := windows.UTF16PtrFromString(folder)
	if err != nil {
		return fmt.Errorf("make %s: %w", folder, err)
	}
	sa := &windows.SecurityAttributes{SecurityDescriptor: descr}
	sa.Length = uint32(unsafe.Sizeof(*sa))
	if err := windows.CreateDirectory(name, sa); err == nil {
		return nil
	} else if !errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		return denied("make "+folder, err)
	}
	return retake(folder, descr)
}

// retake gives a folder that is there its rights, when administrators, the system or
// this user made it. What anybody else made may hold anything, so that is an error,
// and so is a link in its place.
func retake(folder string, descr *windows.SECURITY_DESCRIPTOR) error {
	name, err := windows.UTF16PtrFromString(folder)
	if err != nil {
		return fmt.Errorf("guard %s: %w", folder, err)
	}
	h, err := windows.CreateFile(name, windows.READ_CONTROL|windows.WRITE_DAC|windows.FILE_READ_ATTRIBUTES, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return denied("guard "+folder, err)
	}
	defer windows.CloseHandle(h)
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return fmt.Errorf("guard %s: %w", folder, err)
	}
	if info.FileAttributes&(windows.FILE_ATTRIBUTE_DIRECTORY|windows.FILE_ATTRIBUTE_REPARSE_POINT) != windows.FILE_ATTRIBUTE_DIRECTORY {
		return fmt.Errorf("guard %s: it is no folder: remove it", folder)
	}
	have, err := windows.GetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("guard %s: %w", folder, err)
	}
	owner, _, err := have.Owner()
	if err != nil {
		return fmt.Errorf("guard %s: %w", folder, err)
	}
	self, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("guard %s: %w", folder, err)
	}
	if !trusted(owner, self.User.Sid) {
		return fmt.Errorf("guard %s: user %s made it, so what is in it cannot be trusted: remove it", folder, owner)
	}
	dacl, _, err := descr.DACL()
	if err != nil {
		return fmt.Errorf("guard %s: %w", folder, err)
	}
	err = windows.SetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
	if err != nil {
		return denied("guard "+folder, err)
	}
	return nil
}

// trusted tells whether an owner may have made the service's folders.
func trusted(owner, self *windows.SID) bool {
	return owner.IsWellKnown(windows.WinLocalSystemSid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.Equals(self)
}

func denied(doing string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &platform.PermissionError{Doing: doing, Need: "the rights of an administrator", Err: err}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
