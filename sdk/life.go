package sdk

import (
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// grace is how long calls may take to clean up, and instances to close, when the
// host has gone.
const grace = time.Second

// A life ends when the host is done with the plugin, or is gone: then the
// plugin's end of the liveness pipe reads EOF, even after a SIGKILL of the host.
type life struct {
	server *server
	close  func() error
	once   sync.Once
	dying  atomic.Bool
}

func watch(s *server, closeAll func() error) *life {
	l := &life{server: s, close: closeAll}
	if pipe := inherited(handshake.LivenessEnv); pipe != nil {
		go func() {
			_, _ = pipe.Read(make([]byte, 1))
			l.die()
		}()
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		l.die()
	}()
	return l
}

// inherited returns the file that the host gave the plugin under the number in a
// variable, and keeps both from the processes that the plugin starts.
func inherited(env string) *os.File {
	fd, err := strconv.Atoi(os.Getenv(env))
	if err != nil {
		return nil
	}
	_ = os.Unsetenv(env)
	closeOnExec(fd)
	return os.NewFile(uintptr(fd), env)
}

// end is for a plugin whose host is done with it.
func (l *life) end() {
	go l.server.stop() // go-plugin has stopped one of its two
	l.finish()
	if l.dying.Load() {
		select {} // die ends the process, with its group
	}
}

// finish waits for the calls under way and closes all instances, but not for
// long. A second one waits for the first.
func (l *life) finish() {
	l.once.Do(func() {
		done := make(chan struct{})
		go func() {
			l.server.calls.Lock() // for good: no call begins any more
			_ = l.close()         // there is nobody left to tell
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(grace):
		}
	})
}

// die ends the process, whatever its calls and its instances do, and every
// process that it has started in its group.
func (l *life) die() {
	l.dying.Store(true)
	endGroup(syscall.SIGTERM)
	go l.server.stop()
	l.finish()
	removeSocket(os.Getenv(handshake.SocketDirEnv))
	endGroup(syscall.SIGKILL)
	os.Exit(1)
}

// removeSocket removes the run directory that the host cannot remove any more,
// with what go-plugin puts there. It removes nothing else.
func removeSocket(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type() == os.ModeSocket || e.IsDir() {
			_ = os.Remove(dir + "/" + e.Name()) //nolint:gosec // the host made it, for this plugin
		}
	}
	_ = os.Remove(dir) //nolint:gosec // as above
}
