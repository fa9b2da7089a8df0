package lane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/brock-backup/brock/sdk/internal/frame"
)

// memorySize is that of a memory.
const memorySize = slots * frame.Size

// A memory is the sender's: it fills the slots. The garbage collector has it
// given back.
type memory struct {
	file *os.File
	data []byte
}

// newMemory returns nil if there is none to be had. The other end cannot shorten
// it: whoever then wrote into it would be killed.
func newMemory() *memory {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("brock-lane", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3
		fd, err = unix.MemfdCreate("brock-lane", flags)
	}
	if err != nil {
		return nil
	}
	m := &memory{file: os.NewFile(uintptr(fd), "memory")}
	if err = m.file.Truncate(memorySize); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		m.data, err = unix.Mmap(fd, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		_ = m.file.Close()
		return nil
	}
	runtime.AddCleanup(m, func(data []byte) { _ = unix.Munmap(data) }, m.data)
	return m
}

// pass sends a head and the memory along with it.
func (m *memory) pass(conn *net.UnixConn, head []byte) error {
	raw, err := m.file.SyscallConn()
	if err != nil {
		return err
	}
	n, sendErr := 0, error(nil)
	err = raw.Control(func(fd uintptr) { n, _, sendErr = conn.WriteMsgUnix(head, syscall.UnixRights(int(fd)), nil) })
	if err = errors.Join(sendErr, err); err == nil && n < len(head) {
		_, err = conn.Write(head[n:])
	}
	return err
}

// A view is the receiver's, of a memory that it cannot rely on: the other end may be
// any program.
type view struct{ data []byte }

// receive reads from a lane, and returns the memory that came along, if one did.
func receive(conn *net.UnixConn, p []byte) (n int, v *view, err error) {
	oob := make([]byte, syscall.CmsgSpace(4))
	n, m, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil || m == 0 {
		return n, nil, err
	}
	fd, err := passedFile(oob[:m])
	if err != nil {
		return n, nil, fmt.Errorf("%w: %w", errNoMemory, err)
	}
	defer unix.Close(fd)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil { // not memory: a look at it might take for ever
		return n, nil, fmt.Errorf("%w: %w", errNoMemory, err)
	}
	data, err := unix.Mmap(fd, 0, memorySize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return n, nil, fmt.Errorf("%w: %w", errNoMemory, err)
	}
	return n, &view{data}, nil
}

// copy returns errNoMemory if p would reach beyond the memory, which may be shorter than it
// was said to be.
func (v *view) copy(p []byte, at int64) (err error) {
	if v == nil || at < 0 || at+int64(len(p)) > int64(len(v.data)) {
		return errNoMemory
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = errNoMemory
		}
	}()
	copy(p, v.data[at:])
	return nil
}

func (v *view) close() { _ = unix.Munmap(v.data) }
