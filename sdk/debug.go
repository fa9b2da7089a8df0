package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// debug serves hosts that connect to a plugin which its author has started by
// hand, perhaps in a debugger, until it is interrupted. It returns the exit code.
//
// Who can open the socket is given the secrets of whoever uses the plugin:
// therefore the socket is in a directory that only this user may enter.
func (m *meta) debug(register func(*grpc.Server), args []string) int {
	if len(args) != 1 {
		fmt.Fprintf(os.Stderr, "usage: %s debug FILE\nFILE will say how brock reaches this process.\n", filepath.Base(os.Args[0]))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := m.serveDebug(ctx, register, args[0]); err != nil {
		fmt.Fprintf(os.Stderr, "%s debug: %v\n", filepath.Base(os.Args[0]), err)
		if hint := Hint(err); hint != "" {
			fmt.Fprintf(os.Stderr, "hint: %s\n", hint)
		}
		return 1
	}
	return 0
}

func (m *meta) serveDebug(ctx context.Context, register func(*grpc.Server), file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "brock-debug-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := new(net.ListenConfig).Listen(ctx, "unix", filepath.Join(dir, "plugin"))
	if err != nil {
		return WithHint(err, "if its path is too long for a socket, set TMPDIR to a directory with a shorter one")
	}
	s := new(server)
	g := s.start(nil)
	register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	a := handshake.Attachment{
		Protocol: handshake.Protocol, Kind: m.description.Kind, Name: m.description.Name,
		Network: "unix", Address: l.Addr().String(), Pid: os.Getpid(),
	}
	if err := writeAttachment(file, a); err != nil {
		s.stop()
		return errors.Join(err, ignoreStopped(<-served))
	}
	defer os.Remove(file)
	fmt.Fprintf(os.Stderr, "process %d waits for brock; interrupt it when you are done. Give brock this:\n", a.Pid)
	fmt.Fprintf(os.Stdout, "--plugin-reattach %s=%s\n", a.Name, file)
	select {
	case err = <-served:
	case <-ctx.Done():
		s.stop()
		err = ignoreStopped(<-served)
	}
	return errors.Join(err, m.close())
}

func ignoreStopped(err error) error {
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// writeAttachment makes file appear whole. It replaces nothing but the file of
// an earlier process.
func writeAttachment(file string, a handshake.Attachment) error {
	old, err := os.ReadFile(file) //nolint:gosec // the author names it
	if err == nil && json.Unmarshal(old, new(handshake.Attachment)) != nil {
		return WithHint(fmt.Errorf("%s: %w", file, ErrExist), "it is some other file: name one that is not there yet")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // only this user may read it
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file) //nolint:gosec // as above
	}
	if err != nil {
		_ = os.Remove(f.Name()) //nolint:gosec // as above
	}
	return err
}
