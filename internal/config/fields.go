package config

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is one variable as its tags describe it.
type field struct {
	index    int
	goName   string
	variable string
	fallback string // the default, for the reference table
	written  bool   // fallback is a value that could be written into the variable
	allowed  string
	min, max string
	desc     string
	secret   bool
}

// fileVariable names the variable that holds the path of a secret's file.
func (f field) fileVariable() string { return f.variable + "_FILE" }

// fields lists the variables in the order of the struct.
func fields() []field {
	t := reflect.TypeFor[Config]()
	var list []field
	for i := range t.NumField() {
		sf := t.Field(i)
		variable, ok := sf.Tag.Lookup("env")
		if !ok {
			continue
		}
		f := field{
			index:    i,
			goName:   sf.Name,
			variable: variable,
			fallback: sf.Tag.Get("default"),
			allowed:  sf.Tag.Get("allowed"),
			min:      sf.Tag.Get("min"),
			max:      sf.Tag.Get("max"),
			desc:     sf.Tag.Get("desc"),
			secret:   sf.Type == reflect.TypeFor[Secret](),
		}
		if v, ok := sf.Tag.Lookup("envDefault"); ok {
			f.fallback, f.written = v, true
		}
		if f.min != "" {
			f.allowed = f.min + " to " + f.max
		}
		list = append(list, f)
	}
	return list
}

// withinRange reports whether a number or duration keeps the bounds of its tags.
func (f field) withinRange(v reflect.Value) bool {
	if f.min == "" {
		return true
	}
	n := v.Int()
	return f.bound(f.min, v.Type()) <= n && n <= f.bound(f.max, v.Type())
}

// bound reads a min or max tag. A tag that cannot be read allows nothing, which
// every Load in every test would show.
func (f field) bound(tag string, t reflect.Type) int64 {
	if t == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(tag)
		if err != nil {
			return 0
		}
		return int64(d)
	}
	n, err := strconv.ParseInt(tag, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Reference renders the configuration table of the manual in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("| Variable | Default | Allowed | Meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range fields() {
		name, fallback := code(f.variable), f.fallback
		if f.secret {
			name += " or " + code(f.fileVariable())
		}
		if f.written {
			fallback = code(fallback)
		}
		for _, cell := range []string{name, fallback, f.allowed, f.desc} {
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}

func code(text string) string { return "`" + text + "`" }
