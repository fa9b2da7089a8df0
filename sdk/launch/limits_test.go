//go:build unix

package launch

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/internal/frame"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

func init() {
	roles["limited"] = func() {
		sdk.ServeDestination(sdk.Plugin{
			Name: "limited", Version: "1", Doc: "Takes little.", Schemes: []string{"little"},
			Limits: sdk.Limits{ConcurrentPuts: 2, ObjectSize: 1000, PartSize: 100},
		}, openHinted)
	}
}

// A hinted destination tells with Version what it knew of an object's size.
type hinted struct{ *memory }

func openHinted(context.Context, config) (*hinted, error) {
	return &hinted{&memory{objects: map[string][]byte{}}}, nil
}

func (h *hinted) Put(ctx context.Context, name string, r io.Reader) error {
	if size, ok := sdk.SizeHint(r); ok {
		h.mu.Lock()
		h.objects["hint/"+name] = []byte(strconv.FormatInt(size, 10))
		h.mu.Unlock()
	}
	return h.memory.Put(ctx, name, r)
}

func TestLimitsAreToldAndKept(t *testing.T) {
	t.Parallel()
	p, d := open(t, "limited", nil)
	if got, want := p.Description().Limits, (sdk.Limits{ConcurrentPuts: 2, ObjectSize: 1000, PartSize: 100}); got != want {
		t.Errorf("limits %+v; want %+v", got, want)
	}
	if p.Description().ProtocolMinor != 2 {
		t.Errorf("minor version %d; want 2", p.Description().ProtocolMinor)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	results := make(chan error)
	for i := range 2 {
		go func() {
			results <- d.Put(t.Context(), "slow/"+strconv.Itoa(i), io.MultiReader(readerFunc(func([]byte) (int, error) {
				begun <- struct{}{}
				<-release
				return 0, io.EOF
			})))
		}()
	}
	<-begun
	<-begun
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Put(short, "third", strings.NewReader("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("third Put at once: %v; want it to wait until its time is over", err)
	}
	close(release)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := d.Put(t.Context(), "third", strings.NewReader("x")); err != nil {
		t.Errorf("third Put afterwards: %v", err)
	}
}

func TestObjectThatIsTooLarge(t *testing.T) {
	t.Parallel()
	_, d := open(t, "limited", nil)
	known := strings.NewReader(strings.Repeat("x", 1001))
	err := d.Put(t.Context(), "large", known)
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "large has 1001 bytes") || sdk.Hint(err) == "" {
		t.Errorf("known to be too large: %v, hint %q", err, sdk.Hint(err))
	}
	if known.Len() != 1001 {
		t.Errorf("%d bytes of it were read", 1001-known.Len())
	}
	err = d.Put(t.Context(), "large", iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 1001))))
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "1000 at most") {
		t.Errorf("turns out to be too large: %v", err)
	}
	if _, err := d.Get(t.Context(), "large", 0); !errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Get: %v; want ErrNotExist", err)
	}
	if err := d.Put(t.Context(), "fits", strings.NewReader(strings.Repeat("x", 1000))); err != nil {
		t.Errorf("as large as possible: %v", err)
	}
}

func TestAuthorHearsOfTheSize(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	_, d := open(t, "limited", nil)
	for name, c := range map[string]struct {
		r    io.Reader
		want string
	}{
		"text": {strings.NewReader("abc"), "3"},
		"none": {strings.NewReader(""), "0"},
		"file": {file, "6"},
		"pipe": {io.MultiReader(strings.NewReader("abc")), ""},
	} {
		if err := d.Put(t.Context(), name, c.r); err != nil {
			t.Fatal(err)
		}
		hint, err := readAll(d, "hint/"+name)
		if string(hint) != c.want || err != nil && c.want != "" {
			t.Errorf("%s: the author heard of %q bytes, %v; want %q", name, hint, err, c.want)
		}
	}
}

// withID is a Put that is in order, under a put id.
func withID(open *pluginpb.PutRequest, id, data string) script {
	open.GetOpen().PutId = id
	var s frame.Sum
	return script{open, step(next(&s, []byte(data))), commit(s)}
}

// A host that did not hear of its commit must not find its own object in its
// way.
func TestPutThatIsSentAgain(t *testing.T) {
	t.Parallel()
	p, opened := open(t, "memory", nil)
	d := near(opened)
	other := near(openDestination(t, p, nil))
	if err := send(t.Context(), d, withID(opening(d, "a"), "id 1", "data")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := send(t.Context(), d, withID(opening(d, "a"), "id 1", "data")); err != nil {
			t.Errorf("the same again: %v", err)
		}
	}
	if err := send(t.Context(), other, withID(opening(other, "a"), "id 1", "other")); err != nil {
		t.Errorf("the same id in another instance: %v", err)
	}
	if err := send(t.Context(), d, withID(opening(d, "b"), "id 1", "data")); err != nil {
		t.Errorf("the same id and another name: %v", err)
	}
	refused := func(what string, s script) {
		t.Helper()
		if err := send(t.Context(), d, s); status.Code(err) != codes.AlreadyExists {
			t.Errorf("%s: %v; want AlreadyExists", what, err)
		}
	}
	refused("another id", withID(opening(d, "a"), "id 2", "data"))
	refused("no id", withID(opening(d, "a"), "", "data"))
	refused("other bytes", withID(opening(d, "a"), "id 1", "Data"))
	refused("more bytes", withID(opening(d, "a"), "id 1", "data data"))
	if err := send(t.Context(), d, withID(opening(d, "a"), "id 1", "data")[:2]); err == nil {
		t.Error("the same without its commit is taken for complete")
	}
	for _, id := range []string{"", "id 3"} {
		if err := d.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := send(t.Context(), d, withID(opening(d, "a"), id, "data")); err != nil {
			t.Fatal(err)
		}
		refused("after another Put", withID(opening(d, "a"), "id 1", "data"))
	}
}

func TestReplaceThatIsSentAgain(t *testing.T) {
	t.Parallel()
	_, opened := open(t, "memory", nil)
	d := near(opened)
	replace := func(id, data, version string) (string, error) {
		s := withID(&pluginpb.PutRequest{Step: &pluginpb.PutRequest_Open{Open: &pluginpb.PutOpen{
			Instance: d.id, Name: "r", Condition: pluginpb.Condition_CONDITION_IF_VERSION, Version: version,
		}}}, id, data)
		stream, err := d.svc.Put(t.Context())
		if err != nil {
			return "", err
		}
		for _, msg := range s {
			if err := stream.Send(msg); err != nil {
				break // Recv says why
			}
		}
		res, err := stream.CloseAndRecv()
		return res.GetVersion(), err
	}
	first, err := replace("id 1", "data", "")
	if err != nil || first == "" {
		t.Fatalf("Replace = %q, %v", first, err)
	}
	if again, err := replace("id 1", "data", ""); again != first || err != nil {
		t.Errorf("the same again = %q, %v; want %q", again, err, first)
	}
	if v, err := replace("id 2", "data", ""); status.Code(err) != codes.Aborted {
		t.Errorf("another id = %q, %v; want Aborted", v, err)
	}
	if _, err := replace("id 2", "more", first); err != nil {
		t.Fatal(err)
	}
	if v, err := replace("id 1", "data", ""); status.Code(err) != codes.Aborted {
		t.Errorf("after another Replace = %q, %v; want Aborted", v, err)
	}
}

// A plugin does not rely on its host.
func TestPluginKeepsItsOwnLimits(t *testing.T) {
	t.Parallel()
	_, opened := open(t, "limited", nil)
	d := near(opened)
	if err := send(t.Context(), d, withID(opening(d, "large"), "", strings.Repeat("x", 1001))); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an object that is too large: %v; want InvalidArgument", err)
	}
	if _, err := d.Get(t.Context(), "large", 0); !errors.Is(err, sdk.ErrNotExist) {
		t.Errorf("Get: %v; want ErrNotExist", err)
	}
	if err := send(t.Context(), d, withID(opening(d, "fits"), "", strings.Repeat("x", 1000))); err != nil {
		t.Errorf("as large as possible: %v", err)
	}
}
