package graph

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2/ast"
)

func TestNothingIsLeftUnset(t *testing.T) {
	t.Parallel()
	c := config(Dependencies{})
	directives := reflect.ValueOf(c.Directives)
	for i := range directives.NumField() {
		require.False(t, directives.Field(i).IsNil(), "the directive %s has no implementation", directives.Type().Field(i).Name)
	}
	resolvers := reflect.ValueOf(c.Resolvers)
	for i := range resolvers.NumMethod() {
		name := resolvers.Type().Method(i).Name
		require.Equal(t, 0, resolvers.Method(i).Type().NumIn(), name)
		require.False(t, resolvers.Method(i).Call(nil)[0].IsNil(), "%s has no resolver", name)
	}
	for _, d := range New(Dependencies{}).Schema().Directives {
		if !d.Position.Src.BuiltIn {
			require.True(t, directives.FieldByName(upperFirst(d.Name)).IsValid(), "the directive %s is unknown", d.Name)
		}
	}
}

func upperFirst(s string) string { return string(s[0]-'a'+'A') + s[1:] }

// Who may call a root field is written at the field; only viewer answers everybody.
func TestEveryRootFieldSaysWhoMayCallIt(t *testing.T) {
	t.Parallel()
	schema := New(Dependencies{}).Schema()
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range root.Fields {
			name := root.Name + "." + field.Name
			if name == "Query.viewer" || field.Name == "__schema" || field.Name == "__type" {
				continue
			}
			directive := field.Directives.ForName("access")
			require.NotNil(t, directive, "%s has no @access", name)
			require.NotEmpty(t, directive.Arguments.ForName("roles").Value.Children, name)
		}
	}
}

// Whoever opens the IDE finds every type, field, argument and value explained. An
// argument called input is explained by its type.
func TestEverythingIsDescribed(t *testing.T) {
	t.Parallel()
	for _, d := range NewExecutableSchema(Config{}).Schema().Types {
		if d.BuiltIn {
			continue
		}
		require.NotEmpty(t, d.Description, d.Name)
		for _, f := range d.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			require.NotEmpty(t, f.Description, "%s.%s", d.Name, f.Name)
			for _, a := range f.Arguments {
				require.False(t, a.Description == "" && a.Name != "input", "%s.%s(%s)", d.Name, f.Name, a.Name)
			}
		}
		for _, v := range d.EnumValues {
			require.NotEmpty(t, v.Description, "%s.%s", d.Name, v.Name)
		}
	}
}
