package policy

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows/registry"
)

// key is where group policy puts ours.
const key = `SOFTWARE\Policies\Reach64`

// Place is where this system's policy is for us.
const Place = `HKLM\` + key

func read() (Policy, error) { return readKey(registry.LOCAL_MACHINE, key, Place) }

// installedKey is where the installer keeps what it was told.
const installedKey = `SOFTWARE\Reach64`

func readInstalled() (Policy, error) {
	const origin = `HKLM\` + installedKey
	values, err := readValues(registry.LOCAL_MACHINE, installedKey, origin)
	return Policy{origin, installed(values)}, err
}

// readKey reads the values of a key, whose names are those of the configuration, such
// as path.mode.
func readKey(hive registry.Key, path, origin string) (Policy, error) {
	values, err := readValues(hive, path, origin)
	if values == nil {
		return Policy{}, err
	}
	errs := []error{err}
	list, err := Assignments(values)
	if err != nil {
		errs = append(errs, fmt.Errorf("read policy %s: %w", origin, err))
	}
	return Policy{origin, list}, errors.Join(errs...)
}

// readValues reads the values of a key: REG_SZ, REG_DWORD, or REG_MULTI_SZ for a list.
// Those of no key are nil.
func readValues(hive registry.Key, path, origin string) (map[string]any, error) {
	k, err := registry.OpenKey(hive, path, registry.READ|registry.WOW64_64KEY)
	if errors.Is(err, registry.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", origin, err)
	}
	defer k.Close()
	names, err := k.ReadValueNames(-1)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", origin, err)
	}
	values := make(map[string]any)
	var errs []error
	for _, name := range names {
		v, err := valueOf(k, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("read policy %s: %s: %w", origin, name, err))
			continue
		}
		values[name] = v
	}
	return values, errors.Join(errs...)
}

func valueOf(k registry.Key, name string) (any, error) {
	_, kind, err := k.GetValue(name, nil)
	if err != nil && !errors.Is(err, registry.ErrShortBuffer) {
		return nil, err
	}
	switch kind {
	case registry.SZ:
		v, _, err := k.GetStringValue(name)
		return v, err
	case registry.MULTI_SZ:
		v, _, err := k.GetStringsValue(name)
		return v, err
	case registry.DWORD:
		v, _, err := k.GetIntegerValue(name)
		return v, err
	}
	return nil, fmt.Errorf("is of type %d, want REG_SZ, REG_DWORD or REG_MULTI_SZ", kind)
}
