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
// Directory example has one of each kind, whole: about fifty lines and about
// thirty, and a key provider in front of a key service. The file README.md shows them, and goes on with the protocol for those
// who write in another language.
//
// # The loop
//
// The command makes a project, checks what was built and installs it:
//
//	brock plugin new --kind destination --lang go NAME
//	go build -o brock-destination-NAME .
//	brock plugin test ./brock-destination-NAME --setting uri=...
//	brock plugin install ./brock-destination-NAME
//
// Package sdktest runs the same checks from go test, across the same process
// boundary that the host uses.
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
// # Errors
//
// The host acts upon the kind of an error, which is found with errors.Is, and
// shows its text: wrap [ErrNotExist] and the others with %w. [WithHint] adds
// what the user can do, and [WithRetryAfter] how long a storage that is
// unavailable asks to be left alone. A panic in a call becomes an error without
// its value.
//
// # Logging
//
// [Logger] is the plugin's log: level, keys and values reach that of the host.
// What else is written to standard error is logged by the line. Standard output
// belongs to the host.
//
// # Secrets
//
// They arrive with Open, or in variables that the plugin names, and have the type
// [Secret], which prints as "[secret]". The host hides their values, as they are and in the
// usual encodings, in all that the plugin writes and in its errors. The process
// dumps no core; on Linux a key provider is also closed to debuggers and to
// other processes of the same user, unless they have the help of root.
//
// # Limits
//
// [Limits] say how many Puts may be under way and how large an object may be.
// The host keeps to them. [SizeHint] tells the author of Put how much there
// will be, where that is known.
//
// # Life of a plugin
//
// The host may open several instances in one process. The environment holds the
// proxy variables, TZ, SSL_CERT_FILE, SSL_CERT_DIR, HOME, and of the variables
// that settings and [Plugin] name those that begin with the plugin's own name or
// one of its schemes, as STORE_TOKEN does, or that the user permitted. When the
// host is gone, so are the plugin and the processes of its group, within two
// seconds.
//
// A Put whose success the host never heard of may come again. The SDK knows the
// last ones by their ids, and answers for those that are complete and the same:
// the author need do nothing.
package sdk
