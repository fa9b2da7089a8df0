// Command brock backs up and restores Badger databases and Dgraph postings.
//
// Each subcommand is one file, turns the user's words into one call of the
// engine (package host), and shows its result. Results go to standard output,
// as text or with --json as one JSON document; everything else (progress,
// warnings, errors) goes to standard error.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/brock-backup/brock/cmd/brock/internal/argv"
	"github.com/brock-backup/brock/sdk/conformance"
)

func main() {
	conformance.Init() // a check may have started this program to be a host
	harden()
	os.Exit(run(argv.Args()[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code. The first interrupt
// cancels what is under way, which takes back what is not complete; the second
// one ends the program at once.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// Writing to a pipe that nobody reads is an error like any other, after which
	// temporary files are removed; by default it would end the program on the spot.
	// Plugins inherit nothing of this, as they would if the signal were ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	a := &app{stdout: stdout, screen: newScreen(stderr)}
	cmd := a.command()
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	a.close()
	return a.report(ctx, err)
}
