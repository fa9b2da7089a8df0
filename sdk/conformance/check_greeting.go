package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/brock-backup/brock/sdk/internal/handshake"
)

// greets starts the plugin as a host does, and reads what it writes to standard
// output until it is told to end.
func greets(t *trial, l *lab) {
	line, rest := l.greeting(t, handshake.Protocol)
	parts := strings.Split(strings.TrimRight(line, "\r\n"), "|")
	switch {
	case !strings.HasSuffix(line, "\n") || len(parts) < 6 || len(parts) > 7:
		t.Errorf("the first line on standard output is %q, want 1|%d|NETWORK|ADDRESS|grpc|CERTIFICATE", line, handshake.Protocol)
	case parts[0] != "1" || parts[1] != strconv.Itoa(handshake.Protocol):
		t.Errorf("the greeting has the versions %q and %q, want 1 and %d", parts[0], parts[1], handshake.Protocol)
	case parts[4] != "grpc":
		t.Errorf("the greeting names the protocol %q, want grpc", parts[4])
	case parts[5] == "":
		t.Errorf("the greeting has no certificate, though the host gave one: everybody could connect")
	}
	if rest != "" {
		t.Errorf("the greeting is followed by %.100q on standard output, want nothing", rest)
	}
}

// tellsVersion is a host of a later protocol.
func tellsVersion(t *trial, l *lab) {
	const later = 99
	line, _ := l.greeting(t, later)
	if parts := strings.Split(line, "|"); len(parts) > 1 && parts[1] == strconv.Itoa(later) {
		t.Errorf("to a host of version %d, the plugin says that it speaks that, too", later)
	}
}

// greeting returns the first line that the plugin writes to standard output, if
// it comes soon, and what follows before it ends.
func (l *lab) greeting(t *trial, protocol int) (line, rest string) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "bk")
	if err != nil {
		t.Fatalf("run directory: %v", err)
	}
	defer os.RemoveAll(dir)
	cmd := l.command(ctx)
	cmd.Env = append(
		cmd.Env,
		handshake.Config.MagicCookieKey+"="+handshake.Config.MagicCookieValue,
		"PLUGIN_PROTOCOL_VERSIONS="+strconv.Itoa(protocol),
		"PLUGIN_MIN_PORT=0", "PLUGIN_MAX_PORT=1",
		"PLUGIN_CLIENT_CERT="+certificate(t),
		handshake.SocketDirEnv+"="+dir,
	)
	defer watched(cmd)()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	b := bufio.NewReader(out)
	line, err = b.ReadString('\n')
	terminate(cmd.Process.Pid)
	after := time.AfterFunc(lifeTime, cancel)
	defer after.Stop()
	tail, _ := io.ReadAll(b)
	_ = cmd.Wait()
	if err != nil && ctx.Err() != nil {
		t.Errorf("no greeting after %v", patience)
	}
	return line, string(tail)
}

// command is the plugin with the variables that every plugin sees.
func (l *lab) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, l.Path, args...)
	for _, name := range []string{"HOME", "TZ", "SYSTEMROOT", "USERPROFILE"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, l.Env...)
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	return cmd
}

// certificate is a host's half of the mutual TLS.
func certificate(t *trial) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatalf("certificate: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// byHand starts the plugin as a curious user does.
func byHand(t *trial, l *lab) {
	out, errs, err := l.runByHand(t)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 {
		t.Errorf("started by hand, the plugin ends with %v, want an exit status above 0", err)
	}
	if said := strings.ToLower(out + errs); !strings.Contains(said, "brock") || !strings.Contains(said, "plugin") {
		t.Errorf("started by hand, the plugin says %.200q, want that it is a plugin of brock", out+errs)
	}
}

// describesByHand compares what the plugin says on the command line with what it
// says to a host.
func describesByHand(t *trial, l *lab) {
	out, _, err := l.runByHand(t, "describe", "--json")
	var d struct {
		Name, Version, Kind string
		Schemes             []string
	}
	if err != nil || json.Unmarshal([]byte(out), &d) != nil {
		t.Skipf("the plugin offers no \"describe --json\": %v", err)
	}
	want := l.shared(t).Description()
	if d.Name != want.Name || d.Version != want.Version || d.Kind != want.Kind || len(d.Schemes) != len(want.Schemes) {
		t.Errorf("\"describe --json\" says %+v, and Describe %s %s, kind %s, schemes %q",
			d, want.Name, want.Version, want.Kind, want.Schemes)
	}
}

func (l *lab) runByHand(t *trial, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	cmd := l.command(ctx, args...)
	cmd.Env = append(cmd.Env, byHandEnv+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("started by hand, the plugin is still there after %v", patience)
	}
	return out.String(), errs.String(), err
}
