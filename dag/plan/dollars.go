package plan

import (
	corev1 "k8s.io/api/core/v1"
)

// dollars warns of $$ where Kubernetes reads it: in command, args and the values of env two of them become one, wherever the program runs,
// so that a shell's own $$, say, does not reach the shell. Before a parenthesis that is what they are for: $$(NAME) is no reference. Four
// in a row were written by somebody who knows.
func (c *compiler) dollars(command, args []string, env []corev1.EnvVar, at *where) {
	for key, list := range map[string][]string{"command": command, "args": args} {
		for i, text := range list {
			c.doubled(text, at.at(key).item(i))
		}
	}
	for i := range env {
		c.doubled(env[i].Value, at.at("env").item(i).at("value"))
	}
}

func (c *compiler) doubled(text string, at *where) {
	if surprisingDollars(text) {
		c.ds.warnf("dollars", at, "write $$$$ for $$, or put it into a script's source, which stays as it is",
			"$$ becomes $ here, as in Kubernetes")
	}
}

// surprisingDollars looks for two or three dollar signs in a row that are not before a parenthesis.
func surprisingDollars(text string) bool {
	for i := 0; i < len(text); i++ {
		begin := i
		for i < len(text) && text[i] == '$' {
			i++
		}
		if n := i - begin; n == 2 || n == 3 {
			if i == len(text) || text[i] != '(' {
				return true
			}
		}
	}
	return false
}
