package argv

import "testing"

// What a list of processes shows of an argument.
func TestMasked(t *testing.T) {
	for arg, want := range map[string]string{
		"s3://host/b?accessKey=AKIA&secretKey=abc/d+e%2Bf==&secure=false": "s3://host/b?accessKey=xxxx&secretKey=xxxxxxxxxxxxx&secure=false",
		"--location=minio:///b?SECRETKEY=a&sessionToken=t&x=1":            "--location=minio:///b?SECRETKEY=x&sessionToken=x&x=1",
		"-lazure://c?sas=sv%3D1%26sig%3Dabc":                              "-lazure://c?sas=xxxxxxxxxxxxxxxxxx",
		"azure://c?sv=1&sig=abc&account_key=q":                            "azure://c?sv=1&sig=xxx&account_key=x",
		"s3:///b?secret%4bey=abc":                                         "s3:///b?secret%4bey=xxx",
		"s3:///b?secretKey=&x=y&secretKey":                                "s3:///b?secretKey=&x=y&secretKey",
		"x://user:pass@host/p@q":                                          "x://user:xxxx@host/p@q",
		"x://user:pa/ss@host/p":                                           "x://user:xxxxx@host/p",
		"x://user:pass@host":                                              "x://user:xxxx@host",
		"x://user:pass@host?secretKey=abc":                                "x://user:xxxx@host?secretKey=xxx",
		"x://host:9000/p@q":                                               "x://host:9000/p@q",
		"x://host/p:q@r":                                                  "x://host/p:q@r",
		"x://user@host/p":                                                 "x://user@host/p",
		"--setting=secretKey=a&b":                                         "--setting=secretKey=xxx",
		"--setting=uri=x://h?token=abc":                                   "--setting=uri=x://h?token=xxx",
		"--encryption_key_file=/etc/key":                                  "--encryption_key_file=/etc/key",
		"/srv/backups":                                                    "/srv/backups",
		"":                                                                "",
	} {
		if got := masked(arg, secrets(arg, false)); got != want {
			t.Errorf("%s\nis shown as %s\nwant        %s", arg, got, want)
		}
	}
	for arg, want := range map[string]string{"token=a&b=c": "token=xxxxx", "uri=x://h?secretKey=abc": "uri=x://h?secretKey=xxx", "region=eu": "region=eu"} {
		if got := masked(arg, secrets(arg, true)); got != want {
			t.Errorf("--setting %s is shown as %s, want %s", arg, got, want)
		}
	}
}

func TestToken(t *testing.T) {
	for _, c := range []struct{ before, arg, want string }{
		{"--security", "whitelist=10.0.0.0/8; token=abcdef", "whitelist=10.0.0.0/8; token=xxxxxx"},
		{"--security", "TOKEN = a=b ;whitelist=1.2.3.4", "TOKEN = xxx ;whitelist=1.2.3.4"},
		{"", "--security=token=abc", "--security=token=xxx"},
		{"--security", "whitelist=token", "whitelist=token"},
		{"--security", "token=", "token="},
		{"--whitelist", "token=abc", "token=abc"},
	} {
		if got := masked(c.arg, token(c.arg, c.before)); got != c.want {
			t.Errorf("%s %s is shown as %s, want %s", c.before, c.arg, got, c.want)
		}
	}
}

func TestUnescaped(t *testing.T) {
	for in, want := range map[string]string{"a%2Bb%2f": "a+b/", "%": "%", "%4": "%4", "%zz%41": "%zzA", "plain": "plain"} {
		if got := unescaped(in); got != want {
			t.Errorf("unescaped(%q) = %q, want %q", in, got, want)
		}
	}
}
