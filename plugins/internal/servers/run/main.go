// Run starts and stops the servers that tests need. Without names it means all of them.
//
//	go run ./plugins/internal/servers/run start [NAME...]
//	go run ./plugins/internal/servers/run stop [NAME...]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/brock-backup/brock/plugins/internal/servers"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say start or stop")
	}
	names := args[1:]
	if len(names) == 0 {
		names = servers.Names()
	}
	switch args[0] {
	case "start":
		return start(ctx, names)
	case "stop":
		return stop(ctx, names)
	}
	return fmt.Errorf("%s: say start or stop", args[0])
}

// start starts what can be started: a server that cannot does not keep the others from it.
func start(ctx context.Context, names []string) error {
	var failed []error
	for _, name := range names {
		s, err := servers.Start(ctx, name)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
			continue
		}
		state := "started"
		if s.Was {
			state = "runs"
		}
		say("%-11s %-7s %-24s pid %d, %s\n", name, state, s.Address, s.PID, s.Env)
	}
	if len(failed) < len(names) {
		say("They keep running. To end them: make servers-stop\n")
	}
	return errors.Join(failed...)
}

func stop(ctx context.Context, names []string) error {
	var failed []error
	for _, name := range names {
		if err := servers.Stop(ctx, name); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func say(format string, args ...any) { fmt.Printf(format, args...) } //nolint:forbidigo // a command
