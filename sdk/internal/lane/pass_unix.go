//go:build unix

package lane

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/brock-backup/brock/sdk/internal/socket"
)

// greeting is what a plugin that serves lanes says first.
const greeting = 'M'

func greet(pass *net.UnixConn) error {
	_, err := pass.Write([]byte{greeting})
	return err
}

// greeted does not wait.
func greeted(pass *net.UnixConn) bool {
	raw, err := pass.SyscallConn()
	if err != nil {
		return false
	}
	said := make([]byte, 1)
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		n, _ = syscall.Read(int(fd), said)
		return true
	})
	return err == nil && n == 1 && said[0] == greeting
}

// handOver makes a lane, passes one end and returns the other.
func handOver(pass *net.UnixConn, id uint64) (*net.UnixConn, error) {
	ours, theirs, err := socket.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	number := binary.BigEndian.AppendUint64(nil, id)
	raw, err := theirs.SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(fd uintptr) {
			_, _, err = pass.WriteMsgUnix(number, syscall.UnixRights(int(fd)), nil)
		}), err)
	}
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	return ours, nil
}

// takeOver returns the next lane and its number.
func takeOver(pass *net.UnixConn) (uint64, *net.UnixConn, error) {
	var number [8]byte
	oob := make([]byte, syscall.CmsgSpace(4))
	n, m, _, _, err := pass.ReadMsgUnix(number[:], oob)
	if err != nil {
		return 0, nil, err
	}
	fd, err := passedFile(oob[:m])
	if err != nil || n != len(number) {
		return 0, nil, errors.New("no lane")
	}
	f := os.NewFile(uintptr(fd), "lane")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return 0, nil, err
	}
	return binary.BigEndian.Uint64(number[:]), conn.(*net.UnixConn), nil
}

// passedFile returns the one that came along with a message.
func passedFile(oob []byte) (fd int, err error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return 0, errors.New("no file came along")
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.New("no file came along")
	}
	syscall.CloseOnExec(fds[0])
	return fds[0], nil
}
