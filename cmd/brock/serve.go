package main

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host/admin"
	"github.com/brock-backup/brock/host/badgerdb"
	"github.com/brock-backup/brock/host/schedule"
	"github.com/brock-backup/brock/host/store"
	"github.com/brock-backup/brock/sdk"
)

// serveOptions are the flags of brock serve.
type serveOptions struct {
	postings    string
	postingsKey string
	groups      int
	strict      bool
	key         keyFlags
	http        httpFlags
	config      string
	check       bool
}

func (a *app) serve() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a live database, and back it up while it is written to",
		Long: `Serve opens a database, or makes one, and answers Dgraph's HTTP paths for it: /query,
/mutate and /alter for data, the GraphQL of /admin for backups and restores, /health,
/state and /metrics. Its directories are Dgraph's own: an alpha can open them, and
what an alpha or brock restore has written can be served. Backups go on beside writes, and
what a configuration schedules is done.

Only this machine may call, unless --whitelist lists others; and with --bindall, or
an address in --http-addr, others can connect. When it is told to end, it lets
requests under way finish.

Queries are those that need no index: nodes by uid, by having a predicate, by a value, by
type. Directives of a schema such as @index are kept, but no keys are built for them; with
--strict-schema they are refused.`,
		Example: `  brock serve -p ./live
  brock serve -p ./live --http-addr 127.0.0.1:0 --groups 2
  brock serve -p ./live --bindall --security "whitelist=10.0.0.0/8" --auth-token-file ./token
  brock serve -p ./live --config ./brock.yaml
  brock serve -p ./live --config ./brock.yaml --check`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a, cmd) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.postings, "postings", "p", "", "the database: a `DIR` with p1, p2, ..., made if there is none")
	f.StringVar(&o.postingsKey, "postings-encryption-key-file", "", "the database itself is encrypted with the key in `FILE`")
	f.IntVar(&o.groups, "groups", 1, "a new database has `N` groups")
	f.BoolVar(&o.strict, "strict-schema", false, "refuse @index, @reverse and @count, whose keys are not built")
	o.key.add(cmd)
	o.http.add(cmd)
	f.StringVar(&o.config, "config", "", "destinations, the key and schedules are in `FILE`, a brock.yaml")
	f.BoolVar(&o.check, "check", false, "only tell what the configuration would do, and when")
	cmd.PreRunE = exclusive("http-addr", "bindall")
	return cmd
}

func (o *serveOptions) run(ctx context.Context, a *app, cmd *cobra.Command) error {
	if o.postings == "" {
		return usageError("for example -p ./live", "no database: say which directory to serve with -p")
	}
	if o.groups < 1 || o.groups > 1024 {
		return usageError("one is usual", "--groups %d", o.groups)
	}
	config, err := o.configuration(a, cmd)
	if err != nil {
		return err
	}
	if o.check {
		if config == nil {
			return usageError("for example --config ./brock.yaml", "--check: there is no configuration to check")
		}
		return schedule.Check(a.stdout, config, o.stateFile(admin.ScheduleFile), time.Now())
	}
	if !a.verbose {
		a.logger.SetLevel(hclog.Info) // a host that runs for months tells what it does
	}
	guard, err := o.http.guard(ctx, a)
	if err != nil {
		return err
	}
	secure, err := o.http.secure(a)
	if err != nil {
		return err
	}
	postingsKey, err := a.postingsKey(ctx, o.postingsKey)
	if err != nil {
		return err
	}
	key, err := o.keys(ctx, a, config)
	if err != nil {
		return err
	}
	ln, err := o.http.listen(ctx)
	if err != nil {
		return err
	}
	defer ln.Close()
	s, err := store.Open(ctx, store.Options{
		Dir: o.postings, EncryptionKey: postingsKey, Logger: a.logger.Named("store"), Groups: o.groups, StrictSchema: o.strict,
	})
	if err != nil {
		return err
	}
	l := &live{app: a, o: o, config: config, operations: a.operations(s, key, postingsKey)}
	l.operations.Refuse = o.inside
	err = l.serve(ctx, ln, admin.Config{
		Guard: guard, TLS: secure, Logger: a.logger.Named("http"), MutateBytes: o.http.mutateBytes, AdminBytes: o.http.adminBytes,
	})
	return errors.Join(err, s.Close())
}

// operations are what a live host does for others. It draws no progress.
func (a *app) operations(s *store.Store, key admin.KeyFunc, postingsKey sdk.Secret) *admin.Operations {
	engine := *a.engine
	engine.Progress = nil
	procs := runtime.GOMAXPROCS(0)
	engine.Workers, engine.Background = max(1, procs/2), true // those who write and ask come first
	runtime.GOMAXPROCS(procs + 2)
	metrics := admin.NewMetrics(versionString())
	metrics.WatchStore(s)
	metrics.WatchPlugins(a.plugins)
	return &admin.Operations{
		Store: s, Engine: &engine, Plugins: a.plugins, Key: key, Logger: a.logger, Metrics: metrics, PostingsKey: postingsKey,
	}
}

// inside refuses a location in a directory of the database.
func (o *serveOptions) inside(location string) error {
	groups, err := badgerdb.FindGroups(o.postings)
	if err != nil {
		return err
	}
	return within(append(slices.Collect(maps.Values(groups)), o.stateFile("")), location)
}

// stateFile is a file of the host's own, beside the database's log.
func (o *serveOptions) stateFile(name string) string {
	return filepath.Join(o.postings, "brock-log", name)
}
