package launch

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/brock-backup/brock/sdk"
)

// explain says why a plugin did not start, which err, from go-plugin, does not.
func (r *runner) explain(err error, late bool) error {
	if r.execErr != nil {
		return explainExec(r.path, r.execErr)
	}
	greeted := closedWithin(r.greeted, 0)
	if greeted && r.greeting != nil {
		return r.greeting
	}
	if late {
		return errors.New("was not ready in time" + r.words())
	}
	if r.gone(patience) {
		err := r.obituary("ended before it was ready")
		if r.waitErr == nil && sdk.Hint(err) == "" {
			return sdk.WithHint(err, "is it a plugin of Brock? One greets its host, and stays")
		}
		return err
	}
	return err
}

// obituary says how the process ended. It must have.
func (r *runner) obituary(what string) error {
	if r.attached != 0 {
		return sdk.WithHint(fmt.Errorf("%s: process %d, attached: %w", what, r.attached, r.waitErr), "its last words are where you started it")
	}
	closedWithin(r.drained, 2*patience)
	how := "exit status 0"
	if r.waitErr != nil {
		how = r.waitErr.Error()
	}
	err := errors.New(what + ": " + how + r.words())
	if strings.HasPrefix(how, "signal: killed") {
		return sdk.WithHint(err, "somebody killed it, or the kernel did for want of memory")
	}
	if strings.Contains(err.Error(), "This binary is a plugin") {
		return sdk.WithHint(err, "it is a plugin of another program")
	}
	return err
}

// words are the plugin's last, for the end of an error.
func (r *runner) words() string {
	lines := r.log.last()
	size := 0
	for i, line := range slices.Backward(lines) {
		if size += len(line); size > wordsLimit {
			lines = lines[i+1:]
			break
		}
	}
	if len(lines) == 0 {
		return " (it wrote nothing to standard error)"
	}
	return ", its last words:\n\t" + strings.Join(lines, "\n\t")
}

const wordsLimit = 16 << 10

// explainExec says why a file cannot be executed. The kernel's own words are the
// same for a foreign architecture and for a text file, and those for a missing
// interpreter say that the file itself is missing.
func explainExec(path string, err error) error {
	info, statErr := os.Stat(path)
	switch {
	case statErr != nil:
		return statErr
	case info.IsDir():
		return fmt.Errorf("is a directory: %w", fs.ErrInvalid)
	case errors.Is(err, fs.ErrPermission) && info.Mode()&0o111 == 0:
		return sdk.WithHint(fmt.Errorf("is not executable: %w", fs.ErrPermission), "chmod +x "+path)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("cannot run on %s/%s: %s: %w", runtime.GOOS, runtime.GOARCH, nature(path), fs.ErrInvalid)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("its interpreter is missing (%s): %w", nature(path), fs.ErrInvalid)
	}
	return err
}

// nature says what kind of file an executable is.
func nature(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	switch s := string(head); {
	case strings.HasPrefix(s, "\x7fELF"):
		return natureELF(f)
	case strings.HasPrefix(s, "MZ"):
		return "it is a program for Windows"
	case strings.HasPrefix(s, "\xcf\xfa\xed\xfe"), strings.HasPrefix(s, "\xca\xfe\xba\xbe"):
		return "it is a program for macOS"
	case strings.HasPrefix(s, "#!"):
		line, _, _ := strings.Cut(s, "\n")
		return "a script that begins with " + line
	case n == 0:
		return "the file is empty"
	}
	return "it is no program"
}

func natureELF(f *os.File) string {
	e, err := elf.NewFile(f)
	if err != nil {
		return "a damaged ELF file"
	}
	arch := strings.ToLower(strings.TrimPrefix(e.Machine.String(), "EM_"))
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, min(p.Filesz, 256))
		n, _ := p.ReadAt(name, 0)
		return fmt.Sprintf("an ELF program for %s that needs %s", arch, strings.TrimRight(string(name[:n]), "\x00"))
	}
	return "an ELF program for " + arch
}
