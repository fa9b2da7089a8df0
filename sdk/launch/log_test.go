//go:build unix

package launch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/brock-backup/brock/sdk"
)

// A buffer may be written and read at once.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// await waits until the buffer contains text.
func (b *buffer) await(t *testing.T, text string) string {
	t.Helper()
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) { //nolint:forbidigo // a log has no end to wait for
		if s := b.String(); strings.Contains(s, text) {
			return s
		}
	}
	t.Fatalf("no %q in %.2000q", text, b.String())
	return ""
}

// go-plugin's own parser panics at the first of these, and takes the host along.
func TestNoLineHarmsTheHost(t *testing.T) {
	t.Parallel()
	var out, logged buffer
	logger := hclog.New(&hclog.LoggerOptions{Output: &logged, Level: hclog.Trace})
	p := start(t, "hostile", Options{Stderr: &out, Logger: logger})
	d := openDestination(t, p, nil)
	for _, line := range []string{
		`{"@level":"info","@message":5}`,
		`{"@level":5,"@message":"x"}`,
		`{"@level":"info","@message":"x","@timestamp":5}`,
		`{"@level":"info","@message":"x","@timestamp":"y"}`,
		`{"@level":"info","@message":"x","k":{"a":[1,null]}}`,
		`{"@level":null}`, `{}`, `{`, `[]`, "null", "\x00\xff\xfe", `{"level":"WARN","msg":"slog says","n":1}`,
	} {
		say(t.Context(), d, "say "+strings.ToValidUTF8(line, "?"))
	}
	say(t.Context(), d, "say [WARN] the end")
	out.await(t, "the end")
	text := logged.await(t, "the end")
	for _, want := range []string{"[WARN]  brock", "slog says: n=1", `{"@level":"info","@message":5}`} {
		if !strings.Contains(strings.ReplaceAll(text, "launch.test", "brock"), want) {
			t.Errorf("log lacks %q:\n%s", want, text)
		}
	}
}

func TestStdoutAfterTheHandshakeIsLogged(t *testing.T) {
	t.Parallel()
	var out buffer
	d := openDestination(t, start(t, "hostile", Options{Stderr: &out}), nil)
	say(t.Context(), d, "print to nobody")
	out.await(t, "to nobody")
	say(t.Context(), d, "raw to one")
	out.await(t, "to one")
}

// go-plugin stops reading at a line of 64 KiB, and then the plugin blocks.
func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	var out buffer
	p := start(t, "hostile", Options{Stderr: &out})
	d := openDestination(t, p, map[string]any{"token": sdk.NewSecret("canary-canary")})
	say(t.Context(), d, "long")
	say(t.Context(), d, "flood")
	say(t.Context(), d, "say the end")
	text := out.await(t, "the end")
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > lineLimit+64 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if want := fmt.Sprintf("[%d bytes dropped]", 1<<20-lineLimit+1); !strings.Contains(text, want) {
		t.Errorf("nothing says %q", want)
	}
	if strings.Contains(text, "yc") {
		t.Error("a cut line shows the beginning of a secret")
	}
}

func TestRateOfLogIsBounded(t *testing.T) {
	synctest.Test(t, rateOfLog) // where all happens in the same second
}

func rateOfLog(t *testing.T) {
	var logged bytes.Buffer
	l := newLog("p", &Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &logged})})
	for i := range 3 * rateLimit {
		l.add(fmt.Sprint("line ", i), 0)
	}
	time.Sleep(time.Second) //nolint:forbidigo // takes no time here
	l.add("later", 0)
	if n := strings.Count(logged.String(), "line "); n != rateLimit {
		t.Errorf("%d lines logged, want %d", n, rateLimit)
	}
	if !strings.Contains(logged.String(), fmt.Sprintf("too many lines: dropped=%d", 2*rateLimit)) || !strings.Contains(logged.String(), "later") {
		t.Errorf("log ends with %q", logged.String()[logged.Len()-200:])
	}
	if tail := l.last(); len(tail) != tailLimit || tail[tailLimit-1] != "later" {
		t.Errorf("%d last lines, want %d", len(tail), tailLimit)
	}
}

func TestReadLine(t *testing.T) {
	text := "a\r\n\n" + strings.Repeat("b", 40) + "\nc"
	r := bufio.NewReaderSize(strings.NewReader(text), 16)
	var got []string
	for {
		line, dropped, err := readLine(r)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		got = append(got, fmt.Sprint(string(line), dropped))
	}
	if want := []string{"a0", "0", strings.Repeat("b", 16) + "25", "c0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRedactor(t *testing.T) {
	for _, c := range []struct{ secret, text, want string }{
		{"hunter2", "password hunter2.", "password [secret]."},
		{`a"b\c`, `json "a\"b\\c"`, `json "[secret]"`},
		{"a b/c", "https://h?t=a+b%2Fc", "https://h?t=[secret]"},
		{"a b/c", "https://h/a%20b%2Fc", "https://h/[secret]"},
		{"line one\nline two\n", "saw line two", "saw [secret]"},
		{"{\n  \"key\": \"hunter2\"\n}\n", `{"msg":"a"}   "key": "hunter2"`, `{"msg":"a"} [secret]`},
		{"a<b>&c", `{"k":"a\u003cb\u003e\u0026c"}`, `{"k":"[secret]"}`},
		{"schlüssel🔑", `"schl\u00fcssel\ud83d\udd11"`, `"[secret]"`},
		{"bell\a", `"bell\a"`, `"[secret]"`},
		{"canary bird", "63616e6172792062697264 Y2FuYXJ5IGJpcmQ=", "[secret] [secret]="},
		{"", "nothing", "nothing"},
	} {
		var r redactor
		r.add("zz")
		r.add(c.secret)
		if got := r.hide(c.text); got != c.want {
			t.Errorf("%q in %q: got %q, want %q", c.secret, c.text, got, c.want)
		}
	}
}

func TestRedactorForgetsOldKeys(t *testing.T) {
	var r redactor
	key := func(i int) []byte { return fmt.Appendf(nil, "key material %d", i) }
	for i := range recentLimit + 1 {
		r.addKey(key(i))
		r.addKey(key(i))
	}
	if got := r.hide(fmt.Sprintf("%d", key(1))); got != "[[secret]]" {
		t.Errorf("a recent key is shown as %s", got)
	}
	if len(r.recent) != recentLimit {
		t.Errorf("%d keys are remembered, want %d", len(r.recent), recentLimit)
	}
	r.add("for a while")
	r.remove("for a while")
	if got := r.hide("for a while"); got != "for a while" {
		t.Errorf("what is no secret is shown as %q", got)
	}
}

// What a plugin writes while it sends a key may be that key.
func TestLinesAreKeptBackUntilTheKeyIsKnown(t *testing.T) {
	l := newLog("p", &Options{Logger: hclog.NewNullLogger()})
	one, two := l.hold(), l.hold()
	l.add("the key is canary-canary", 0)
	one()
	one()
	if got := l.last(); len(got) != 0 {
		t.Errorf("shown too early: %q", got)
	}
	l.hideKey([]byte("canary-canary"))
	two()
	l.add("next", 0)
	if got := l.last(); !slices.Equal(got, []string{"the key is [secret]", "next"}) {
		t.Errorf("got %q", got)
	}
	defer l.hold()()
	for i := range holdLimit + 1 {
		l.add(fmt.Sprint(i), 0)
	}
	if got := l.last(); got[len(got)-1] != fmt.Sprint(holdLimit) {
		t.Errorf("the last of too many lines is %q", got[len(got)-1])
	}
}

// A plugin in another language prints through go-plugin, in pieces.
func TestLineWriter(t *testing.T) {
	l := newLog("p", &Options{Logger: hclog.NewNullLogger()})
	w := l.writer()
	for _, s := range []string{"a", "b\nc\n", strings.Repeat("d", lineLimit+1), "e\n"} {
		_, _ = io.WriteString(w, s)
	}
	got := l.last()
	if len(got) != 3 || got[0] != "ab" || got[1] != "c" || !strings.HasSuffix(got[2], "d [2 bytes dropped]") {
		t.Errorf("got %.200q", got)
	}
}
