//go:build !linux

package launch

// noCores can do nothing here: the SDK does it, in the plugin itself.
func noCores(int) {}

func slackly(f func() error) error { return f() }
