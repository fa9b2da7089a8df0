// Package sdk is for writing plugins of Brock.
//
// A plugin is a program that the host starts. It serves a [Destination], where
// the objects of backups are kept, or a [KeyProvider], which guards the keys
// they are encrypted with. Its main function is often one statement:
//
//	func main() {
//		sdk.ServeDestination(sdk.Plugin{Name: "nfs", Version: "0.1.0", Schemes: []string{"nfs"}}, Open)
//	}
//
// where Open turns the user's settings into a Destination:
//
//	func Open(ctx context.Context, c Config) (*Store, error)
//
// # Settings
//
// A field of Config is a setting. Its tags say which:
//
//	URI     string        `json:"uri" required:"true" doc:"where the objects are"`
//	Token   sdk.Secret    `json:"token" env:"STORE_TOKEN" doc:"credential"`
//	Timeout time.Duration `json:"timeout" default:"30s" example:"1m" doc:"for one request"`
//
// A setting that Config does not have is an error, so that a misspelt one is
// never ignored. Text is accepted for bool, numbers and durations.
//
// # Life of a plugin
//
// The host may open several instances in one process. Standard error is the
// plugin's log. The environment holds the proxy variables, TZ, SSL_CERT_FILE,
// SSL_CERT_DIR, HOME, and what the user permitted. When the host is gone, so are
// the plugin and the processes of its group, within two seconds.
//
// Package sdktest checks a plugin against every promise made here, across the
// same process boundary that the host uses. Other languages speak the protocol
// in directory proto.
package sdk
