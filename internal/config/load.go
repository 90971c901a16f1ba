package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/caarlos0/env/v11"
)

const (
	prefix     = "HANDOFF_"
	testPrefix = prefix + "TEST_"
	// maxFileBytes bounds the file of a secret.
	maxFileBytes = 64 << 10
)

// Environ gives the process's environment in the form that Load takes.
func Environ() map[string]string { return env.ToMap(os.Environ()) }

// Load reads the configuration from environment variables and checks it. Its
// error is [Mistakes], which lists everything that is wrong; the Config is then
// of no use. It reads the files that NAME_FILE variables name, and changes nothing.
func Load(environ map[string]string) (Config, error) {
	l := loader{fields: fields(), mistakes: map[string]string{}}
	values := l.values(environ)
	var c Config
	l.parse(&c, values)
	l.check(&c)
	l.refuseUnknown(environ)
	if len(l.mistakes) > 0 {
		return Config{}, l.sorted()
	}
	return c, nil
}

// loader collects at most one mistake per variable: what follows from the first
// would only distract.
type loader struct {
	fields   []field
	mistakes map[string]string // by variable
}

func (l *loader) mistake(variable, format string, args ...any) {
	if _, known := l.mistakes[variable]; !known {
		l.mistakes[variable] = fmt.Sprintf(format, args...)
	}
}

// values gives the known variables' values, with the content of secrets' files
// in place of the files.
func (l *loader) values(environ map[string]string) map[string]string {
	values := map[string]string{}
	for _, f := range l.fields {
		values[f.variable] = strings.TrimSpace(environ[f.variable])
		path := strings.TrimSpace(environ[f.fileVariable()])
		switch {
		case !f.secret || path == "":
		case values[f.variable] != "":
			l.mistake(f.variable, "is set together with %s; set one of them", f.fileVariable())
		default:
			content, err := readSecret(path)
			if err != nil {
				l.mistake(f.fileVariable(), "%s", err)
			}
			values[f.variable] = content
		}
	}
	return values
}

// readSecret does not mind who else may read the file: Docker mounts secrets
// with mode 0444.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return "", err
	}
	if len(content) > maxFileBytes {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return text, nil
}

// parse fills the fields and checks the bounds that their tags state.
func (l *loader) parse(c *Config, values map[string]string) {
	err := env.ParseWithOptions(c, env.Options{Environment: values})
	var all env.AggregateError
	if errors.As(err, &all) {
		for _, err := range all.Errors {
			l.refuseValue(err, values)
		}
	}
	v := reflect.ValueOf(c).Elem()
	for _, f := range l.fields {
		if !f.withinRange(v.Field(f.index)) {
			l.mistake(f.variable, "%q is not allowed; allowed: %s", values[f.variable], f.allowed)
		}
	}
}

// refuseValue reports what the parser of one field said.
func (l *loader) refuseValue(err error, values map[string]string) {
	parse, ok := errors.AsType[env.ParseError](err)
	i := slices.IndexFunc(l.fields, func(f field) bool { return ok && f.goName == parse.Name })
	if i < 0 {
		l.mistake("configuration", "%s", err)
		return
	}
	f := l.fields[i]
	reason := fmt.Sprintf("%.100q is not allowed", values[f.variable])
	if text, ok := errors.AsType[notAllowed](parse.Err); ok {
		reason = text.Error()
	}
	l.mistake(f.variable, "%s; allowed: %s", reason, f.allowed)
}

// refuseUnknown reports variables that look like ours and are not.
func (l *loader) refuseUnknown(environ map[string]string) {
	known := map[string]bool{}
	for _, f := range l.fields {
		known[f.variable] = true
		known[f.fileVariable()] = f.secret
	}
	for name, value := range environ {
		if !strings.HasPrefix(name, prefix) || known[name] || strings.HasPrefix(name, testPrefix) || fromKubernetes(name, value) {
			continue
		}
		text := "unknown variable"
		if nearest := l.nearest(name); nearest != "" {
			text += "; did you mean " + nearest + "?"
		}
		l.mistake(name, "%s", text)
	}
}

// nearest gives the variable that name is most likely a misspelling of, or "".
func (l *loader) nearest(name string) string {
	bare := strings.TrimPrefix(name, prefix)
	// More than a third of the letters wrong is another word, not a slip.
	best, bestDistance := "", len(bare)/3+1
	consider := func(variable string) {
		d := levenshtein.ComputeDistance(bare, strings.TrimPrefix(variable, prefix))
		if d < bestDistance {
			best, bestDistance = variable, d
		}
	}
	for _, f := range l.fields {
		consider(f.variable)
		if f.secret {
			consider(f.fileVariable())
		}
	}
	return best
}

// A Service named "handoff" or "handoff-…" adds these variables to every
// container of its namespace
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
var (
	kubernetesName = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?$`)
	kubernetesPort = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

func fromKubernetes(name, value string) bool {
	return kubernetesName.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && kubernetesPort.MatchString(value)
}

// sorted gives the mistakes in the order of the fields, unknown variables last.
func (l *loader) sorted() Mistakes {
	var list Mistakes
	take := func(variable string) {
		if text, ok := l.mistakes[variable]; ok {
			list = append(list, Mistake{Variable: variable, Text: text})
			delete(l.mistakes, variable)
		}
	}
	for _, f := range l.fields {
		take(f.variable)
		take(f.fileVariable())
	}
	for _, variable := range slices.Sorted(maps.Keys(l.mistakes)) {
		take(variable)
	}
	return list
}
