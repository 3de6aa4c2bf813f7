package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clic-orchestrator/clic/master/store/redis"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		want redis.Target
	}{
		{"redis://localhost", redis.Target{Addrs: []string{"localhost:6379"}}},
		{"redis://redis-svc:6380/3", redis.Target{Addrs: []string{"redis-svc:6380"}, DB: 3}},
		{"redis://:123456@redis-svc:6379/0", redis.Target{Addrs: []string{"redis-svc:6379"}, Password: "123456"}},
		{"redis://me:a%40b%2Fc@10.0.0.1/", redis.Target{Addrs: []string{"10.0.0.1:6379"}, User: "me", Password: "a@b/c"}},
		{"redis://me:a:b@h", redis.Target{Addrs: []string{"h:6379"}, User: "me", Password: "a:b"}},
		{"redis://[::1]:7000,[::2]?cluster=true", redis.Target{Addrs: []string{"[::1]:7000", "[::2]:6379"}, Cluster: true}},
		{
			"redis://:p@a:1,b,c:3/2?master=clic&sentinel-user=s&sentinel-password=q%26", redis.Target{
				Addrs: []string{"a:1", "b:26379", "c:3"}, DB: 2, Password: "p", Master: "clic", SentinelUser: "s", SentinelPassword: "q&",
			},
		},
		{
			"rediss://h?ca=/ca.pem&cert=c&key=k&server-name=n&insecure=true&timeout=1s&dial-timeout=500ms", redis.Target{
				Addrs: []string{"h:6379"}, Timeout: time.Second, DialTimeout: 500 * time.Millisecond,
				TLS: &redis.TLS{CA: "/ca.pem", Cert: "c", Key: "k", ServerName: "n", Insecure: true},
			},
		},
	} {
		if c.want.Timeout == 0 {
			c.want.Timeout, c.want.DialTimeout = 3*time.Second, 2*time.Second
		}
		got, err := redis.ParseURL(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
		} else if diff := cmp.Diff(&c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.url, diff)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"":                                       "redis://",
		"localhost:6379":                         "redis://",
		"http://h":                               "redis://",
		"redis://":                               "host number 1",
		"redis://h:x":                            "host number 1",
		"redis://h:0":                            "host number 1",
		"redis://a,b:99999":                      "host number 2",
		"redis://h/db":                           "database",
		"redis://h/-1":                           "database",
		"redis://h?nosuch=1":                     "unknown option",
		"redis://h?cluster=perhaps":              "option cluster",
		"redis://h?cluster=1&cluster=1":          "option cluster",
		"redis://h/1?cluster=true":               "database 0",
		"redis://h?cluster=true&master=m":        "cluster and master",
		"redis://h?sentinel-password=top-hat":    "need option master",
		"redis://h?ca=/x":                        "option ca",
		"rediss://h?cert=/x":                     "cert and key",
		"redis://h?timeout=0s":                   "option timeout",
		"redis://h?dial-timeout=soon":            "option dial-timeout",
		"redis://:top-hat%zz@h":                  "password",
		"redis://us%er:top-hat@h":                "user",
		"redis://:top-hat/more@h":                "%2F",
		"redis://:top-hat?more@h":                "%3F",
		"redis://:top-hat@h:port":                "host number 1",
		"redis://:top-hat@h/x":                   "database",
		"redis://:top-hat@h?nosuch=top-hat":      "unknown option",
		"redis://h?master=m&sentinel-password=%": "percent-encoded",
	} {
		_, err := redis.ParseURL(url)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q in it", url, err, want)
		} else if strings.Contains(err.Error(), "top-hat") {
			t.Errorf("%s: the error has the password: %v", url, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	target, err := redis.ParseURL("redis://me:top-hat@h?master=m&sentinel-password=top-hat")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{target, *target, target.Password} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, "top-hat") {
				t.Errorf("%s of %T has the password: %s", format, v, s)
			}
		}
	}
}

// FuzzParseURL: nothing breaks it, and no error or text has the password.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"redis://h", "redis://u:secret-word@h:1,i/3?master=m", "rediss://:p@[::1]?ca=x&insecure=1", "redis://:a/b@c?d@e", "redis://%zz@h",
	} {
		f.Add(s, "secret-word")
	}
	f.Fuzz(func(t *testing.T, url, password string) {
		target, err := redis.ParseURL(url)
		if err == nil {
			if len(target.Addrs) == 0 {
				t.Errorf("%q has no addresses", url)
			}
			if again, err := redis.ParseURL(target.String()); err == nil {
				if diff := cmp.Diff(target.Addrs, again.Addrs); diff != "" {
					t.Errorf("%q becomes %q:\n%s", url, target, diff)
				}
			}
		}
		// Digits are in a text of our own, such as a number of a host; shorter ones are in any text.
		secret := "§§" + password + "§§"
		for _, s := range []string{"redis://:" + secret + "@" + url, "redis://u:" + secret + url, "rediss://" + secret + ":" + secret + "@h" + url} {
			if target, err := redis.ParseURL(s); err != nil && strings.Contains(err.Error(), "§§") ||
				err == nil && strings.Contains(fmt.Sprintf("%v %+v", target, *target), secret) && target.User == "" {
				t.Errorf("%q: a part of the password is shown: %v", s, err)
			}
		}
	})
}
