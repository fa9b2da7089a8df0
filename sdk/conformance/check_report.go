package conformance

import (
	"encoding/json"
	"strings"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/code"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// reports asks for what the plugin found out, twice: by way of a host, and by way
// of the wire, where nobody masks a secret.
func reports(t *trial, p *place) {
	d, ok := p.dst.(sdk.Reporter)
	if !ok {
		t.Skipf("the plugin is no Reporter")
	}
	p.unchanged("Report", func() {
		findings, err := d.Report(t.ctx)
		if err != nil {
			t.Errorf("Report: %v", err)
		}
		seen := map[string]bool{}
		for _, f := range findings {
			if f.Name == "" || f.Name != strings.TrimSpace(strings.ToLower(f.Name)) || seen[f.Name] {
				t.Errorf("a finding has the name %q, want one in lower case that no other has", f.Name)
			}
			if seen[f.Name] = true; f.Detail == "" {
				t.Errorf("finding %s says nothing", f.Name)
			}
			if strings.ContainsAny(f.Name+f.Detail+f.Hint, "\n\r\x1b") {
				t.Errorf("finding %s is more than a line, or holds an escape", f.Name)
			}
		}
		w := p.wire()
		res, err := w.control.Report(t.ctx, &pluginpb.ReportRequest{Instance: w.instance})
		if err != nil {
			t.Errorf("Report: %v", code.Error(err))
		}
		said, err := json.Marshal(res)
		if err != nil {
			t.Fatalf("findings: %v", err)
		}
		for _, s := range p.lab.shared(t).Description().Settings {
			if s.Secret {
				p.lab.hunt(t, string(said), s.Name, plain(p.lab.Settings[s.Name]))
			}
		}
	})
}
