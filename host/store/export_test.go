package store

// CrashAt has a function called before each step of what a crash can cut in two.
func CrashAt(o *Options, step func(string) error) { o.crash = step }

// Small makes tables and logs so small that a test fills many of them.
func Small(o *Options) { o.small = true }
