package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/brock-backup/brock/host"
	"github.com/brock-backup/brock/host/doctor"
)

func (a *app) pluginBench() *cobra.Command {
	total, load, at := "", doctor.Load{}, locationFlag{}
	cmd := &cobra.Command{
		Use:   "bench LOCATION",
		Short: "Measure how fast a location is",
		Long: `Bench stores, lists, reads and deletes objects below a name that begins with
"brock-bench-", and tells how fast that was, how much CPU time brock and the
plugin took for it, and how much memory the plugin has had at most. The objects are removed again, also after an interrupt.`,
		Example: "  brock plugin bench ./backups --size 16MiB\n  brock plugin bench ./backups --size 1MiB --objects 20 --parallel 4 --json",
		Args:    exactArg("location"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bytes, err := humanize.ParseBytes(total)
			if err != nil || bytes > 1<<50 {
				return usageError("a size is a number with a unit, such as 256MiB", "--size %s is not a size", total)
			}
			if load.Objects < 1 || load.Parallel < 1 {
				return usageError("", "--objects and --parallel are at least 1")
			}
			load.Size = int64(bytes) / int64(load.Objects)
			at.uri = args[0]
			return a.bench(cmd.Context(), &at, load)
		},
	}
	cmd.Flags().StringVar(&total, "size", "256MiB", "all objects together have `SIZE`")
	cmd.Flags().IntVar(&load.Objects, "objects", 8, "store `N` objects")
	cmd.Flags().IntVar(&load.Parallel, "parallel", 2, "`N` objects are under way at once")
	at.addSettings(cmd)
	return cmd
}

// benchView is what came of a benchmark.
type benchView struct {
	Location string         `json:"location"`
	Objects  int            `json:"objects"`
	Size     int64          `json:"object_size"`
	Parallel int            `json:"parallel"`
	Phases   []doctor.Phase `json:"phases"`
}

func (a *app) bench(ctx context.Context, at *locationFlag, load doctor.Load) error {
	settings, err := at.settings(a)
	if err != nil {
		return err
	}
	found, err := a.plugins.Resolve(ctx, at.uri, settings)
	if err != nil {
		return err
	}
	opened, err := a.plugins.OpenDestination(ctx, at.uri, settings)
	if err != nil {
		return err
	}
	if load.Plugin, err = a.plugins.Pid(ctx, found.Plugin); err != nil {
		return err
	}
	load.Moved = func(phase string, bytes int64) {
		p := host.Progress{Op: phase, Bytes: bytes}
		if phase == "put" || phase == "get" {
			p.TotalBytes = load.Size * int64(load.Objects)
		}
		a.screen.progress(p)
	}
	phases, err := doctor.Bench(ctx, opened.Destination, load)
	if err != nil {
		return err
	}
	v := benchView{opened.URI, load.Objects, load.Size, load.Parallel, phases}
	return a.result(v, v.show)
}

func (v benchView) show(w io.Writer) {
	fmt.Fprintf(w, "%s: %d objects of %s, %d at once\n\n", v.Location, v.Objects, size(v.Size), v.Parallel)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tSECONDS\tMB/S\tOBJECTS/S\tCPU BROCK\tCPU PLUGIN\tCPU-S/GIB\tMEMORY\t")
	for _, p := range v.Phases {
		speed, perGiB, plugin, memory := "-", "-", "-", "-"
		if p.Bytes > 0 {
			speed = fmt.Sprintf("%.1f", float64(p.Bytes)/1e6/p.Seconds)
		}
		if p.PluginCPU >= 0 {
			plugin = fmt.Sprintf("%.2fs", p.PluginCPU)
			if p.Bytes > 0 {
				perGiB = fmt.Sprintf("%.2f", (p.HostCPU+p.PluginCPU)/(float64(p.Bytes)/(1<<30)))
			}
		}
		if p.PluginRSS > 0 {
			memory = size(p.PluginRSS)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%s\t%.0f\t%.2fs\t%s\t%s\t%s\t\n",
			p.Name, p.Seconds, speed, float64(p.Objects)/p.Seconds, p.HostCPU, plugin, perGiB, memory)
	}
	t.Flush()
}
