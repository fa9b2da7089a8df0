// Package conformance finds out whether a plugin, in whatever language, keeps
// the promises of package sdk.
//
// A [Subject] is an executable and the settings to open it with. Every promise
// is a check with a stable name; running them yields one [Result] each, as soon
// as it is known. The command "brock plugin test" and package sdktest both run
// this one list.
package conformance
