package versions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-lb/postern/internal/durable"
)

// A Pin holds a trust store at a version, whatever its sources say.
type Pin struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"` // when the command was given
}

// PinFile returns the file that pins the trust store whose history is in folder.
func PinFile(folder string) string { return filepath.Join(folder, "pin.json") }

// ReadPin returns the pin in folder, or nil if there is none.
func ReadPin(folder string) (*Pin, error) {
	if folder == "" {
		return nil, nil
	}
	data, err := readBounded(PinFile(folder), maxPinBytes)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pin: %w", err)
	}
	pin, err := parsePin(data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", PinFile(folder), err)
	}
	return pin, nil
}

func parsePin(data []byte) (*Pin, error) {
	var pin Pin
	if err := json.Unmarshal(data, &pin); err != nil {
		return nil, err
	}
	if pin.Version < 1 {
		return nil, fmt.Errorf("it names version %d; numbers begin at 1", pin.Version)
	}
	return &pin, nil
}

// WritePin pins the trust store whose history is in folder. If the superuser does it,
// the file belongs to the owner of the folder, who has to read it.
func WritePin(folder string, pin Pin) error {
	data, err := json.Marshal(pin)
	if err != nil {
		return err
	}
	return durable.Write(PinFile(folder), func(w io.Writer) error {
		if err := giveToOwner(w, folder); err != nil {
			return err
		}
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// RemovePin lets the trust store follow its sources again, and reports whether it did
// not before.
func RemovePin(folder string) (pinned bool, err error) {
	err = os.Remove(PinFile(folder))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
