package launch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	gorunner "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/handshake"
	"github.com/brock-backup/brock/sdk/internal/pluginpb"
)

// A trap is one that a host falls into which uses go-plugin as it comes. The
// function shows that it is still there: where it has gone, the cure may go, too.
// The tests, in this folder or the one named, fail without the cure.
var traps = []struct {
	name    string
	without func(*testing.T)
	tests   string
}{
	{"a line on standard error panics the host", stockPanicsAtALine, `
		TestNoLineHarmsTheHost TestLinesAreBounded TestRateOfLogIsBounded`},
	{"Kill of a stopped plugin does not return", stockKillHangs, `
		TestCloseEndsAStoppedPlugin TestStartEndsAPluginThatIgnoresSIGTERM TestCloseDoesNotWaitForStrangers
		TestCloseWaitsForOperations TestCloseCutsOffOperationsThatDoNotEnd TestCloseEndsTheWholeGroup`},
	{"a killed host leaves its plugins running", stockLeavesOrphans, `
		TestKilledHostLeavesNothingRunning TestPluginEndsWithTheLivenessPipe TestPluginEndsWithItsParent
		TestPluginOutlivesTheThreadThatStartedIt TestRunDirsOfKilledHostsAreCollected`},
	{"the socket is where everybody can reach it", stockSocketIsPublic, `
		TestRunDirIsPrivateAndGoesAway TestSocketPathIsChecked`},
	{"a digest cannot be checked with a runner", stockDigestNeedsAPath, `
		TestPinnedBytesAreExecuted`},
	{"the plugin sees the host's environment and input", stockSharesEnvironment, `
		TestPluginSeesOnlyTheAllowedEnvironment TestPluginDoesNotReadTheHostsInput`},
	{"a plugin without TLS seems to have started", stockAcceptsNoTLS, `
		TestStartSaysWhatIsWrong TestPluginWithoutTLSDoesNotStart`},
	{"keepalive with one end cuts off a healthy stream", nil, `
		internal/handshake:TestStockServerCutsOffAnIdleConnection internal/handshake:TestIdleConnectionStays
		TestStoppedPluginFailsACall TestIdleOperationFails`},
	{"limits differ from side to side, and a failed Send hides its cause", nil, `
		internal/handshake:TestSendHidesItsCause
		TestOnlyAMatchingCommitStores TestLawlessPluginIsFoundOut TestRefusedPutSaysWhy`},
	{"whatever fails before the handshake has one text", stockHasOneText, `
		TestStartSaysWhatIsWrong TestStartHints TestStartOfWhatIsNoPlugin TestStartHasADeadline
		TestErrorTellsHowThePluginEnded TestErrorTellsOfASignal TestCrashFailsTheOperationsUnderWay`},
	{"a panic in a handler ends the process and shows its value", stockPanicsInAHandler, `
		TestPluginSurvivesAPanic TestPanicOutsideACallShowsNoSecret TestNoSecretIsShown TestRedactor`},
	{"nothing starts a plugin again", stockStaysDead, `
		TestRestartBetweenOperationsIsInvisible TestCrashLoopIsQuarantined TestCrashLoopEndsWithinAMinute
		TestRestartThatFailsIsTriedAgain TestManyOperationsOneRestart`},
}

func TestTraps(t *testing.T) {
	t.Parallel()
	known := testNames(t, ".", "../internal/handshake")
	for _, trap := range traps {
		t.Run(trap.name, func(t *testing.T) {
			t.Parallel()
			for name := range strings.FieldsSeq(trap.tests) {
				if !known[name] {
					t.Errorf("there is no %s", name)
				}
			}
			if trap.without != nil {
				trap.without(t)
			}
		})
	}
}

// testNames returns the tests of some folders. Those of the first go without its
// name.
func testNames(t *testing.T, dirs ...string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for i, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		prefix := ""
		if i > 0 {
			prefix = strings.TrimPrefix(dir, "../") + ":"
		}
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range f.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok {
					names[prefix+fn.Name.Name] = true
				}
			}
		}
	}
	return names
}

// stockConfig is what go-plugin's documentation says, for a plugin in a role.
func stockConfig(role string) *plugin.ClientConfig {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{roleEnv + "=" + role}
	return &plugin.ClientConfig{
		HandshakeConfig:  handshake.Config,
		Plugins:          plugin.PluginSet{service: dialer{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		Cmd:              cmd,
		Logger:           hclog.NewNullLogger(),
		SkipHostEnv:      true,
	}
}

// startStock starts a plugin as it says there.
func startStock(t *testing.T, c *plugin.ClientConfig) (*plugin.Client, *grpc.ClientConn) {
	t.Helper()
	client := plugin.NewClient(c)
	t.Cleanup(client.Kill)
	rpc, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := rpc.Dispense(service)
	if err != nil {
		t.Fatal(err)
	}
	return client, conn.(*grpc.ClientConn)
}

// stockHost is a host that has no cures. It is a process of its own because it
// dies, of the trap or for it.
func stockHost() {
	os.Unsetenv(roleEnv) // it would win
	c := stockConfig(os.Getenv("BROCK_TEST_PLUGIN"))
	c.SkipHostEnv = false
	client := plugin.NewClient(c)
	if _, err := client.Client(); err != nil {
		print(err)
		return
	}
	print(client.ReattachConfig().Pid)
	select {}
}

func init() { roles["stockhost"] = stockHost }

func stockPanicsAtALine(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=stockhost", "BROCK_TEST_PLUGIN=shout")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("panic: interface conversion")) {
		t.Errorf("host: %v: %s", err, out)
	}
}

func stockKillHangs(t *testing.T) {
	client, _ := startStock(t, stockConfig("memory"))
	pid := client.ReattachConfig().Pid
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	halted(t, pid)
	killed := make(chan struct{})
	go func() {
		client.Kill()
		close(killed)
	}()
	if closedWithin(killed, 5*time.Second) {
		t.Error("Kill returns")
	}
	_ = syscall.Kill(pid, syscall.SIGCONT)
	<-killed
}

func stockLeavesOrphans(t *testing.T) {
	cmd, line := startHostAs(t, "stockhost", "memory")
	pid := number(t, line)
	defer syscall.Kill(pid, syscall.SIGKILL)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if ends(2*time.Second, pid) {
		t.Error("the plugin ends with its host")
	}
}

func stockSocketIsPublic(t *testing.T) {
	private := t.TempDir()
	c := stockConfig("memory")
	c.UnixSocketConfig = &plugin.UnixSocketConfig{TempDir: private}
	client, _ := startStock(t, c)
	if dir := filepath.Dir(client.ReattachConfig().Addr.String()); dir == private {
		t.Error("the socket is where it should be")
	}
}

func stockDigestNeedsAPath(t *testing.T) {
	c := stockConfig("memory")
	c.SecureConfig = &plugin.SecureConfig{Checksum: []byte("sum"), Hash: sha256.New()}
	c.Cmd = nil
	c.RunnerFunc = func(hclog.Logger, *exec.Cmd, string) (gorunner.Runner, error) {
		return nil, errors.New("this far")
	}
	client := plugin.NewClient(c)
	defer client.Kill()
	if _, err := client.Start(); err == nil || err.Error() == "this far" {
		t.Errorf("Start: %v", err)
	}
}

func stockSharesEnvironment(t *testing.T) {
	cmd, line := startHostAs(t, "stockhost", "memory", "HOSTS_SECRET=canary")
	pid := number(t, line)
	defer syscall.Kill(pid, syscall.SIGKILL)
	defer cmd.Process.Kill()
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || !bytes.Contains(env, []byte("\x00HOSTS_SECRET=canary\x00")) {
		t.Errorf("the plugin sees %q, %v", env, err)
	}
	if in, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", pid)); err != nil || in == os.DevNull {
		t.Errorf("the plugin reads %s, %v", in, err)
	}
}

func stockAcceptsNoTLS(t *testing.T) {
	_, conn := startStock(t, stockConfig("notls"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := pluginpb.NewMetaServiceClient(conn).Describe(ctx, &pluginpb.DescribeRequest{}); err == nil {
		t.Error("the first call works")
	}
}

func stockHasOneText(t *testing.T) {
	client := plugin.NewClient(stockConfig("early"))
	defer client.Kill()
	_, err := client.Start()
	if err == nil || !strings.Contains(err.Error(), "architecture") || strings.Contains(err.Error(), "no disk today") {
		t.Errorf("Start: %v", err)
	}
}

func stockPanicsInAHandler(t *testing.T) {
	c := stockConfig("lawless")
	var out buffer
	c.Stderr = &out
	client, conn := startStock(t, c)
	req := &pluginpb.DeleteRequest{Name: "panic"}
	if _, err := pluginpb.NewDestinationServiceClient(conn).Delete(t.Context(), req); err == nil {
		t.Error("Delete: no error")
	}
	out.await(t, "panic: with canary")
	gone(t, 10*time.Second, client.ReattachConfig().Pid)
}

func stockStaysDead(t *testing.T) {
	client, conn := startStock(t, stockConfig("memory"))
	_ = syscall.Kill(client.ReattachConfig().Pid, syscall.SIGKILL)
	for range 2 {
		if _, err := pluginpb.NewMetaServiceClient(conn).Describe(t.Context(), &pluginpb.DescribeRequest{}); err == nil {
			t.Error("Describe: no error")
		}
	}
}

// The host's own input may be a password that somebody types.
func TestPluginDoesNotReadTheHostsInput(t *testing.T) {
	t.Parallel()
	host, line := startHost(t, "hostile")
	defer host.Wait()
	defer host.Process.Kill()
	fields := strings.Fields(line)
	if len(fields) != 3 {
		t.Fatal(line)
	}
	for what, pid := range map[string]string{"host": fmt.Sprint(host.Process.Pid), "plugin": fields[0], "plugin's child": fields[1]} {
		in, err := os.Readlink("/proc/" + pid + "/fd/0")
		if (in == os.DevNull) != (what != "host") || err != nil {
			t.Errorf("the %s reads %s, %v", what, in, err)
		}
	}
}

// A plugin that greets as it should, but serves without TLS, comes as far as the
// first call.
func TestPluginWithoutTLSDoesNotStart(t *testing.T) {
	t.Parallel()
	_, err := try(t, "naked", Options{Env: []string{"BROCK_TEST_CERT=" + certificate(t)}})
	if err == nil || !strings.Contains(err.Error(), "does not describe itself") {
		t.Errorf("Start: %v; want one about the first call", err)
	}
}
