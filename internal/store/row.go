package store

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"gorm.io/gorm/schema"

	"handoff/internal/fault"
)

// A row type has one field per column, in the order of the table. GORM derives
// the names of the columns from the fields; plain SQL gets the same ones here.

var (
	naming  = schema.NamingStrategy{}
	columns sync.Map // reflect.Type → []string
)

// columnsOf lists the columns of a row type.
func columnsOf[T any]() []string {
	t := reflect.TypeFor[T]()
	if known, ok := columns.Load(t); ok {
		return known.([]string)
	}
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = naming.ColumnName("", t.Field(i).Name)
	}
	columns.Store(t, names)
	return names
}

// columnList is the columns of a row type for a SELECT, each with the prefix.
func columnList[T any](prefix string) string {
	return prefix + strings.Join(columnsOf[T](), ", "+prefix)
}

// insertInto is the statement that inserts one row of the type.
func insertInto[T any](table string) string {
	names := columnsOf[T]()
	marks := make([]string, len(names))
	for i := range marks {
		marks[i] = "$" + strconv.Itoa(i+1)
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
}

// valuesOf lists the values of a row in the order of columnsOf.
func valuesOf[T any](row *T) []any {
	v := reflect.ValueOf(row).Elem()
	values := make([]any, v.NumField())
	for i := range values {
		values[i] = v.Field(i).Interface()
	}
	return values
}

// pointersOf lists where to scan the columns of a row to.
func pointersOf[T any](row *T) []any {
	v := reflect.ValueOf(row).Elem()
	pointers := make([]any, v.NumField())
	for i := range pointers {
		pointers[i] = v.Field(i).Addr().Interface()
	}
	return pointers
}

// storable refuses texts that one of the databases cannot keep: Postgres stores
// neither NUL nor invalid UTF-8, so SQLite must not either.
func storable[T any](row *T) error {
	v := reflect.ValueOf(row).Elem()
	for i, name := range columnsOf[T]() {
		f := v.Field(i)
		if f.Kind() == reflect.Pointer && !f.IsNil() {
			f = f.Elem()
		}
		if f.Kind() == reflect.String {
			if err := storableText(name, f.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

func storableText(field, s string) error {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return fault.Invalid(field, "must be valid UTF-8 without NUL")
	}
	return nil
}

// optional is a text column that is NULL instead of empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// encode writes a value into a JSON column. The types that are kept so always can be.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("store: " + err.Error())
	}
	return string(text)
}

// encodeMap and encodeList write nothing for what is empty, so that reading gives nil back.
func encodeMap(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	return encode(m)
}

func encodeList[T any](list []T) string {
	if len(list) == 0 {
		return "[]"
	}
	return encode(list)
}

func decodeMap(text string) (map[string]string, error) {
	if text == "{}" {
		return nil, nil
	}
	var m map[string]string
	return m, json.Unmarshal([]byte(text), &m)
}

func decodeList[T any](text string) ([]T, error) {
	if text == "[]" {
		return nil, nil
	}
	var list []T
	return list, json.Unmarshal([]byte(text), &list)
}

// assignments is "a = $3, b = $4" for the named columns, counting from first.
func assignments(names []string, first int) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + " = $" + strconv.Itoa(first+i)
	}
	return strings.Join(parts, ", ")
}

// pick lists the values of the named columns of a row.
func pick[T any](row *T, names []string) []any {
	v := reflect.ValueOf(row).Elem()
	all := columnsOf[T]()
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = v.Field(slices.Index(all, name)).Interface()
	}
	return values
}
