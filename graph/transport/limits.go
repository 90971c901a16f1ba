package transport

import (
	"context"
	"fmt"
	"strings"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Codes of operations that are refused for their shape.
const (
	// CodeDepth: the operation nests deeper than Config.DepthLimit.
	CodeDepth = "DEPTH_LIMIT_EXCEEDED"
	// CodeComplexity: the operation costs more than Config.ComplexityLimit, or
	// asks for the schema more often than an introspection query does.
	CodeComplexity = "COMPLEXITY_LIMIT_EXCEEDED"
)

const (
	// schemaLists is how many lists of the schema one operation may select.
	// The complexity calculation leaves __schema out, so that aliases could
	// repeat the whole schema as often as the token limit allows; the usual
	// introspection query selects nine.
	schemaLists = 36

	// schemaDepth is how deep the lists that lead from a type to further types
	// may nest, as in graphql-js: { __schema { types { fields { type { fields …
	// grows with the power of it.
	schemaDepth = 2

	// maxValidationErrors is how many errors of one document are reported.
	maxValidationErrors = 50

	// muchMore stands for every number above all limits.
	muchMore = 1 << 30
)

// shapeLimits refuses operations by their shape. It runs after validation, so
// fragments exist and have no cycles.
//
// Fragments written out can be exponentially larger than their text: thirty
// fragments that each spread the next one twice are a billion fields. Everything
// here walks a fragment once. Two things of the libraries below do not, and a
// kilobyte of query would keep a core busy for ever: gqlgen's complexity
// calculation, which therefore runs only when the number of fields is known to
// be small, and gqlparser's rule MaxIntrospectionDepth, which [validationRules]
// leaves out and the schemaDepth here replaces.
type shapeLimits struct {
	depth, complexity int
	introspection     bool // then it has bounds of its own instead of those two

	schema graphql.ExecutableSchema
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = (*shapeLimits)(nil)

// validationRules are gqlparser's, for one validation, with two changes: without
// the rule that shapeLimits replaces, and silent after maxValidationErrors,
// because the fields that conflict with each other grow with the square of the
// document (graphql-js gives up at 100).
func validationRules() *rules.Rules {
	r := rules.NewDefaultRules()
	r.RemoveRule(rules.MaxIntrospectionDepth.Name)
	found := 0
	for name, rule := range r.GetInner() {
		r.ReplaceRule(name, func(observers *core.Events, addError core.AddErrFunc) {
			rule(observers, func(options ...core.ErrorOption) {
				if found++; found <= maxValidationErrors {
					addError(options...)
				}
			})
		})
	}
	return r
}

// ExtensionName names the extension in gqlgen's statistics.
func (*shapeLimits) ExtensionName() string { return "ShapeLimits" }

// Validate takes the schema, whose complexity functions it will ask.
func (l *shapeLimits) Validate(schema graphql.ExecutableSchema) error {
	l.schema = schema
	return nil
}

// MutateOperationContext refuses what is too deep, too costly, or too curious,
// and @defer, which only some transports could answer and for which gqlgen
// v0.17.95 may wait on after the operation was cancelled.
func (l *shapeLimits) MutateOperationContext(ctx context.Context, oc *graphql.OperationContext) *gqlerror.Error {
	if err := literals(oc); err != nil {
		return refusal(errcode.ValidationFailed, "%s", err)
	}
	m := measure(oc.Operation.SelectionSet, map[string]shape{})
	switch {
	case m.deferred:
		return refusal(errcode.ValidationFailed, "@defer is not supported")
	case m.schemaDepth > schemaDepth:
		return refusal(errcode.ValidationFailed, "maximum introspection depth exceeded")
	case m.schemaLists > schemaLists:
		return refusal(CodeComplexity, "operation selects more than %d lists of the schema", schemaLists)
	case l.introspection && !m.data:
		return nil
	case m.depth > l.depth:
		return refusal(CodeDepth, "operation has depth %d, which exceeds the limit of %d", m.depth, l.depth)
	// Every field costs at least 1, so the first already decides where it is true.
	case m.fields > l.complexity, complexity.Calculate(ctx, l.schema, oc.Operation, oc.Variables) > l.complexity:
		return refusal(CodeComplexity, "operation exceeds the complexity limit of %d", l.complexity)
	}
	return nil
}

// literals refuses what the parser takes and gqlparser's ArgumentMap panics on: a
// number that no machine type holds, where a scalar of ours is wanted.
func literals(oc *graphql.OperationContext) error {
	sets := []ast.SelectionSet{oc.Operation.SelectionSet}
	for _, fragment := range oc.Doc.Fragments {
		sets = append(sets, fragment.SelectionSet)
	}
	for len(sets) > 0 {
		set := sets[len(sets)-1]
		sets = sets[:len(sets)-1]
		for _, selection := range set {
			var directives ast.DirectiveList
			switch s := selection.(type) {
			case *ast.Field:
				if err := readable(s.Arguments, oc.Variables); err != nil {
					return err
				}
				directives = s.Directives
				sets = append(sets, s.SelectionSet)
			case *ast.InlineFragment:
				directives = s.Directives
				sets = append(sets, s.SelectionSet)
			case *ast.FragmentSpread:
				directives = s.Directives
			}
			for _, d := range directives {
				if err := readable(d.Arguments, oc.Variables); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func readable(arguments ast.ArgumentList, variables map[string]any) error {
	for _, a := range arguments {
		if _, err := a.Value.Value(variables); err != nil {
			return fmt.Errorf("the value of the argument %q cannot be read: %w", a.Name, err)
		}
	}
	return nil
}

func refusal(code, format string, args ...any) *gqlerror.Error {
	err := gqlerror.Errorf(format, args...)
	errcode.Set(err, code)
	return err
}

// shape is what matters of a selection, fragments written out.
type shape struct {
	fields      int  // all of them, at most muchMore
	depth       int  // fields nested in each other
	schemaLists int  // lists of introspection types, at most muchMore
	schemaDepth int  // lists of introspection types that lead to types, nested
	data        bool // something other than introspection at the top
	deferred    bool // carries @defer
}

// add joins the shape of one more part of the same selection.
func (s *shape) add(part shape) {
	s.fields = min(s.fields+part.fields, muchMore)
	s.depth = max(s.depth, part.depth)
	s.schemaLists = min(s.schemaLists+part.schemaLists, muchMore)
	s.schemaDepth = max(s.schemaDepth, part.schemaDepth)
	s.data = s.data || part.data
	s.deferred = s.deferred || part.deferred
}

// measure walks a selection; fragments holds the shapes of those walked already.
func measure(selections ast.SelectionSet, fragments map[string]shape) (total shape) {
	for _, selection := range selections {
		switch s := selection.(type) {
		case *ast.Field:
			part := measure(s.SelectionSet, fragments)
			part.fields++
			part.depth++
			part.data = !strings.HasPrefix(s.Name, "__")
			if strings.HasPrefix(s.ObjectDefinition.Name, "__") && s.Definition.Type.Elem != nil {
				part.schemaLists++
				switch s.Name {
				case "fields", "inputFields", "interfaces", "possibleTypes":
					part.schemaDepth++
				}
			}
			total.add(part)
		case *ast.InlineFragment:
			part := measure(s.SelectionSet, fragments)
			part.deferred = part.deferred || s.Directives.ForName("defer") != nil
			total.add(part)
		case *ast.FragmentSpread:
			part, ok := fragments[s.Name]
			if !ok {
				part = measure(s.Definition.SelectionSet, fragments)
				fragments[s.Name] = part
			}
			part.deferred = part.deferred || s.Directives.ForName("defer") != nil
			total.add(part)
		}
	}
	return total
}
