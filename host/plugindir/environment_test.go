package plugindir

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brock-backup/brock/sdk"
)

// Which variables are a plugin's own.
func TestPermitted(t *testing.T) {
	destination := func(name string, schemes ...string) sdk.Description {
		return sdk.Description{Kind: "destination", Plugin: sdk.Plugin{Name: name, Schemes: schemes}}
	}
	keys := func(name string) sdk.Description {
		return sdk.Description{Kind: "keyprovider", Plugin: sdk.Plugin{Name: name}}
	}
	for _, c := range []struct {
		d   sdk.Description
		yes string
		no  string
	}{
		{destination("minio", "minio"), "MINIO_ROOT_USER", "AWS_REGION MINIO_ MINIO minio_x AMINIO_X HOME"},
		{destination("s3", "s3"), "S3_X AWS_ACCESS_KEY_ID", "MINIO_X GS_X VAULT_TOKEN BROCK_PLUGIN"},
		{destination("both", "minio", "s3"), "BOTH_X MINIO_X S3_X AWS_X", "GOOGLE_X"},
		{destination("gcs", "gs"), "GCS_X GS_X GOOGLE_APPLICATION_CREDENTIALS", "AWS_X"},
		{destination("azure", "azure", "https"), "AZURE_CONFIG_DIR IDENTITY_ENDPOINT IDENTITY_HEADER IMDS_ENDPOINT MSI_ENDPOINT MSI_SECRET", "AWS_X IDENTITY MSIX"},
		{destination("azure", "other"), "AZURE_X", "IDENTITY_HEADER MSI_SECRET"},
		{destination("s3", "other"), "S3_X OTHER_X", "AWS_X"}, // it has the name, and serves another scheme
		{destination("nfs", "", "file", "nfs"), "NFS_X FILE_X", "_X X"},
		{destination("my-store.v2", "my+store"), "MY_STORE_V2_X MY_STORE_X", "MY_X"},
		{keys("vaultkeys"), "VAULT_TOKEN VAULTKEYS_X", "AWS_X"},
		{keys("s3"), "S3_X", "AWS_X"},
		{destination("vaultkeys", "vk"), "VAULTKEYS_X VK_X", "VAULT_TOKEN"},
		{destination("ld", "brock", "plugin", "dyld"), "", "LD_PRELOAD BROCK_PLUGIN_BULK PLUGIN_CLIENT_CERT DYLD_X"},
	} {
		for name := range strings.FieldsSeq(c.yes) {
			if permitted(c.d, name) == "" {
				t.Errorf("%s %q does not see %s", c.d.Name, c.d.Schemes, name)
			}
		}
		for name := range strings.FieldsSeq(c.no) {
			if prefix := permitted(c.d, name); prefix != "" {
				t.Errorf("%s %q sees %s because of %s", c.d.Name, c.d.Schemes, name, prefix)
			}
		}
	}
}

// sees opens a destination, and returns the names of the variables that its
// process has of those that the test has set, and where a setting's comes from.
func sees(t *testing.T, d *Dirs, uri string) (names []string, settings string) {
	t.Helper()
	opened, err := d.OpenDestination(t.Context(), uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		r, err := opened.Destination.Get(t.Context(), name, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for v := range strings.SplitSeq(read("environment"), "\n") {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(value, "of the test") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, read("settings")
}

// A plugin that is used sees what it names and is its own, whether anything was
// known of it before or not. One that is only asked what it is sees no more than
// every plugin does.
func TestAPluginSeesWhatItNames(t *testing.T) {
	for _, name := range []string{"RED_COLOUR", "RED_TRACE", "RED_UNNAMED", "AWS_TRACE", "LD_TRACE", "OTHERS_SECRET", "BLUE_TRACE"} {
		t.Setenv(name, "of the test")
	}
	dir := plugins(t, "brock-destination-red", "brock-destination-blue", "brock-destination-s3")
	cache := filepath.Join(t.TempDir(), "cache")
	for what, options := range map[string]Options{"nothing known": {}, "first": {CacheDir: cache}, "remembered": {CacheDir: cache}} {
		d := with(t, options, dir)
		if got, settings := sees(t, d, "red://host/x"); !slices.Equal(got, []string{"RED_COLOUR", "RED_TRACE"}) || settings != "red://host/x of the test" {
			t.Errorf("%s: red sees %q, and has the settings %q", what, got, settings)
		}
		if got, _ := sees(t, d, "s3://host/x"); !slices.Equal(got, []string{"AWS_TRACE"}) {
			t.Errorf("%s: s3 sees %q", what, got)
		}
		if got, _ := sees(t, d, "blue://host/x"); len(got) > 0 {
			t.Errorf("%s: blue sees %q", what, got)
		}
	}
	d := with(t, Options{Env: []string{"OTHERS_SECRET=of the test, permitted", "RED_TRACE=of the test, too"}}, dir)
	if got, _ := sees(t, d, "red://host/x"); !slices.Equal(got, []string{"OTHERS_SECRET", "RED_COLOUR", "RED_TRACE"}) {
		t.Errorf("red sees %q, with one that is permitted", got)
	}
	asked := with(t, Options{}, dir)
	all, err := asked.Plugins(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("%d plugins, %v", len(all), err)
	}
	for _, p := range all {
		if proc := asked.started[p.Path]; !slices.Equal(proc.env, []string{"PATH=" + os.Getenv("PATH")}) {
			t.Errorf("%s was started with %q, to be asked what it is", p.Path, proc.env)
		}
	}
}

// Programs that a plugin starts are found the way the host finds them.
func TestEveryPluginSeesPath(t *testing.T) {
	t.Setenv("PATH", "of the test:"+os.Getenv("PATH"))
	dir := plugins(t, "brock-destination-blue")
	if got, _ := sees(t, with(t, Options{}, dir), "blue://host/x"); !slices.Equal(got, []string{"PATH"}) {
		t.Errorf("a plugin sees %q, want PATH", got)
	}
	permitted := with(t, Options{Env: []string{"PATH=of the test, permitted"}}, dir)
	if got, _ := sees(t, permitted, "blue://host/x"); !slices.Equal(got, []string{"PATH"}) {
		t.Errorf("a plugin sees %q, want PATH once", got)
	}
}

// Those who open at once what is started once more get the same process.
func TestPluginIsStartedOnceMoreOnce(t *testing.T) {
	t.Setenv("RED_COLOUR", "of the test")
	starts := t.TempDir()
	d := with(t, Options{Env: []string{"BROCK_TEST_STARTS=" + starts}}, plugins(t, "brock-destination-red"))
	failed := make(chan error)
	for range 8 {
		go func() {
			opened, err := d.OpenDestination(t.Context(), "red://host/x", nil)
			if err == nil {
				_, err = opened.Destination.Get(t.Context(), "settings", 0)
			}
			failed <- err
		}()
	}
	for range 8 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if marks, err := filepath.Glob(filepath.Join(starts, "*")); len(marks) != 2 {
		t.Errorf("%d starts, %v; want one to ask, and one to use", len(marks), err)
	}
}

func TestVariables(t *testing.T) {
	d := sdk.Description{
		Kind: "destination", Plugin: sdk.Plugin{Name: "red", Schemes: []string{"red"}, Env: []string{"RED_TRACE", "SHARED"}},
		Settings: []sdk.Setting{{Name: "key", Env: "RED_KEY", Secret: true}, {Name: "proxy", Env: "HTTPS_PROXY"}, {Name: "none"}, {Name: "mine", Env: "MINE"}},
	}
	var got []string
	for _, v := range Variables(d, []string{"MINE", "MORE"})[:7] {
		setting := "-"
		if v.Setting != nil {
			setting = v.Setting.Name
		}
		got = append(got, strings.Join([]string{v.Name, setting, map[bool]string{true: "seen", false: "unseen"}[v.Seen], v.Why}, " "))
	}
	want := []string{
		"RED_KEY key seen red sees what it reads of RED_*",
		"HTTPS_PROXY proxy seen every plugin sees it",
		"MINE mine seen named with --plugin-env",
		"RED_TRACE - seen red sees what it reads of RED_*",
		"SHARED - unseen --plugin-env SHARED would show it",
		"MORE - seen named with --plugin-env",
		"HOME - seen every plugin sees it",
	}
	if all := Variables(d, nil); !slices.ContainsFunc(all, func(v Variable) bool { return v.Name == "PATH" && v.Seen }) {
		t.Errorf("no plugin sees PATH: %+v", all)
	}
	if !slices.Equal(got, want) {
		t.Errorf("variables\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
