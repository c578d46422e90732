package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// explain turns the TOML reader's error into one that names file, line and
// column, and for an unknown key the nearest known one.
func explain(file string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var errs []error
		for _, e := range strict.Errors {
			errs = append(errs, unknownKey(file, e))
		}
		return errors.Join(errs...)
	}
	var dec *toml.DecodeError
	if errors.As(err, &dec) {
		row, col := dec.Position()
		return fmt.Errorf("%s:%d:%d: %s", file, row, col, strings.TrimPrefix(dec.Error(), "toml: "))
	}
	return fmt.Errorf("%s: read TOML: %w", file, err)
}

func unknownKey(file string, e toml.DecodeError) error {
	row, col := e.Position()
	key := e.Key()
	msg := fmt.Sprintf("%s:%d:%d: unknown key %q", file, row, col, strings.Join(key, "."))
	if near := nearest(key); near != "" {
		return fmt.Errorf("%s; did you mean %q?", msg, near)
	}
	return errors.New(msg)
}

// nearest returns the known key that is most like the unknown one, or "" when
// none is alike.
func nearest(key []string) string {
	want := strings.Join(key, ".")
	best, bestCost := "", len(want)/2+1
	for _, k := range Keys() {
		cost := distance(want, k)
		// The last word alone counts too: people put a right key in a wrong table.
		if last := k[strings.LastIndexByte(k, '.')+1:]; last == key[len(key)-1] {
			cost = min(cost, 1)
		}
		if cost < bestCost {
			best, bestCost = k, cost
		}
	}
	return best
}

// Keys lists every key of the configuration as table.key, in file order.
func Keys() []string {
	var keys []string
	t := reflect.TypeFor[raw]()
	for i := range t.NumField() {
		table := t.Field(i)
		keys = append(keys, table.Tag.Get("toml"))
		ft := table.Type
		if ft.Kind() == reflect.Slice {
			ft = ft.Elem()
		}
		for j := range ft.NumField() {
			keys = append(keys, table.Tag.Get("toml")+"."+ft.Field(j).Tag.Get("toml"))
		}
	}
	return keys
}

// distance is the Levenshtein distance between a and b, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost = min(diag, row[j], row[j+1]) + 1
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

var errNoServer = errors.New("no backup server is configured")

// LacksServer tells whether all that is wrong is that no backup server is
// configured, as in the file of a fresh installation. The Config that came with the
// error can be used where none is needed.
func LacksServer(err error) bool {
	for {
		all, ok := err.(interface{ Unwrap() []error })
		if !ok {
			return errors.Is(err, errNoServer)
		}
		if len(all.Unwrap()) != 1 {
			return false
		}
		err = all.Unwrap()[0]
	}
}
