// Package paths says where the files of reach64 are on this operating system:
// configuration, state, run-time files and the control socket.
//
// It makes nothing but the folders that Secure guards. The environment variables
// REACH64_CONFIG_DIR, REACH64_STATE_DIR, REACH64_RUN_DIR and REACH64_POLICY_DIR move
// configuration, state, run-time files and policy, so that labs can run several
// services beside each other.
package paths

import (
	"os"
	"path/filepath"
	"runtime"
)

// layout is one operating system's places.
type layout struct{ config, state, run, log string }

func places() layout { return placesOf(runtime.GOOS, programData()) }

// placesOf returns the places of an operating system. Windows says where its
// programs' data are; a service without that variable must not use its working folder.
func placesOf(system, programData string) layout {
	switch system {
	case "windows":
		if programData == "" {
			programData = `C:\ProgramData`
		}
		data := filepath.Join(programData, "Reach64")
		return layout{config: data, state: filepath.Join(data, "state"), run: filepath.Join(data, "state"), log: filepath.Join(data, "logs")}
	case "darwin":
		base := "/Library/Application Support/Reach64"
		return layout{config: base, state: base + "/state", run: "/var/run/reach64", log: "/Library/Logs/Reach64"}
	default:
		return layout{config: "/etc/reach64", state: "/var/lib/reach64", run: "/run/reach64", log: "/var/log/reach64"}
	}
}

// ConfigFile is the configuration file that is read when none is named.
func ConfigFile() string { return filepath.Join(configDir(), "reach64.toml") }

func configDir() string { return env("REACH64_CONFIG_DIR", places().config) }

// ConfDir is the folder for drop-ins to ConfigFile.
func ConfDir() string { return filepath.Join(configDir(), "conf.d") }

// PolicyDir is the folder for policy, which wins over everything else. The
// administrator alone may write there.
func PolicyDir() string { return env("REACH64_POLICY_DIR", filepath.Join(configDir(), "policy.d")) }

// StateDir holds what outlives a run: the journal and the secret.
func StateDir() string { return env("REACH64_STATE_DIR", places().state) }

// LogDir holds the log of a service whose standard error nobody keeps.
func LogDir() string { return places().log }

// RunDir holds what belongs to one run: the lock and the control socket.
func RunDir() string { return env("REACH64_RUN_DIR", places().run) }

// Socket is the control socket, on Windows a pipe that only an administrator can
// make. A moved run-time folder moves it too.
func Socket() string { return socketOf(runtime.GOOS, os.Getenv("REACH64_RUN_DIR"), RunDir()) }

func socketOf(system, moved, run string) string {
	if system == "windows" && moved == "" {
		return `\\.\pipe\ProtectedPrefix\Administrators\Reach64\control`
	}
	return filepath.Join(run, "reach64.sock")
}

// Data are the folders that hold what outlives a run: configuration with policy
// files, state, run-time files and logs. Nothing else lies in them.
func Data() []string { return []string{StateDir(), RunDir(), LogDir(), PolicyDir(), configDir()} }

// SecureProgram gives the folder of this program the rights of the configuration's,
// where it lies in none of the administrator's: a service runs what is in it. It is an
// error when others have files there.
func SecureProgram() error { return secureProgram() }

// Secure makes the folders of configuration and state where they do not lie in
// folders of the administrator by themselves, as on Windows, and gives them their
// rights: users may read the configuration and nothing else. Moved folders are
// left alone.
func Secure() error { return secure() }

func env(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}
