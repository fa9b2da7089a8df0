// Package sdktest runs the checks of package conformance from go test, and holds
// destinations for everyone's tests.
//
// A plugin's whole test is two functions:
//
//	func TestMain(m *testing.M) { sdktest.Main(m, main) }
//
//	func TestDestination(t *testing.T) {
//		sdktest.TestDestination(t, Config{URI: t.TempDir()})
//	}
//
// The test binary starts itself a second time as the plugin, so that every
// check crosses a real process boundary.
//
// [Memory] is a real destination without a disk. [Fault] makes any destination
// fail at a chosen moment, [Trace] writes down what is asked of one.
package sdktest
