package tun

import (
	"os"
	"testing"
)

func TestCheckAgreesWithTheDeviceFile(t *testing.T) {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	if got := Check(); (got == nil) != (err == nil) {
		t.Errorf("Check = %v, opening the file: %v", got, err)
	}
}
