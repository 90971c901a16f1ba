package config

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Config is the whole configuration of one process.
//
// Tags: env names the variable, envDefault is its default in the form an
// operator would write, default describes one that is computed, min and max
// bound a number or a duration (both inclusive), allowed describes any other
// form, desc is the meaning. The order of the fields is the order of the
// reference table.
type Config struct {
	Addr             string        `env:"HANDOFF_ADDR" envDefault:"127.0.0.1:8080" allowed:"host:port" desc:"Address the HTTP server listens on. Port 0 takes any free port."`
	PublicURL        string        `env:"HANDOFF_PUBLIC_URL" default:"http:// and HANDOFF_ADDR" allowed:"absolute http or https URL without user, query or fragment" desc:"Where browsers and desks reach this service; message receiving addresses begin with it. A path prefix is kept."`
	DataDir          string        `env:"HANDOFF_DATA_DIR" envDefault:"./data" allowed:"directory" desc:"Holds the SQLite database, the generated secret key and the generated administrator token."`
	DatabaseURL      Secret        `env:"DATABASE_URL" default:"SQLite in the data directory" allowed:"postgres:// or postgresql:// URL" desc:"Postgres to use. Several replicas share one."`
	AdminToken       Secret        `env:"HANDOFF_ADMIN_TOKEN" default:"generated into the data directory on the first run" allowed:"16 to 512 visible ASCII characters" desc:"Bearer token of the administrator."`
	SecretKey        Secret        `env:"HANDOFF_SECRET_KEY" default:"generated into the data directory on the first run" allowed:"32 bytes as base64 or hex; several separated by commas" desc:"Encrypts desk credentials and signs user tokens. The first key encrypts and signs, all of them decrypt and verify: to rotate, put the new key in front."`
	LogLevel         slog.Level    `env:"HANDOFF_LOG_LEVEL" envDefault:"info" allowed:"debug, info, warn or error" desc:"Lowest level that is logged."`
	LogFormat        LogFormat     `env:"HANDOFF_LOG_FORMAT" envDefault:"text" allowed:"text or json" desc:"Form of the log lines on standard error."`
	AllowedOrigins   Origins       `env:"HANDOFF_ALLOWED_ORIGINS" default:"the origin of HANDOFF_PUBLIC_URL" allowed:"origins such as https://app.example.com separated by commas, or *" desc:"Browser pages that may call the API from another origin, over HTTP and websocket."`
	PrivateNetworks  Networks      `env:"HANDOFF_ALLOWED_PRIVATE_NETWORKS" default:"none" allowed:"CIDRs separated by commas; the words loopback and all" desc:"Loopback, private and link-local networks that desk addresses typed by customers may reach."`
	DeskHosts        DeskHosts     `env:"HANDOFF_DESK_HOSTS" default:"none; desks are called where they are" allowed:"desk=http://IP:port separated by commas, with loopback addresses" desc:"For tests and simulators only: desks to call on this machine instead of at their own servers. Exactly these addresses need no HANDOFF_ALLOWED_PRIVATE_NETWORKS. See handoff simulate."`
	TrustedProxies   Networks      `env:"HANDOFF_TRUSTED_PROXIES" default:"none" allowed:"CIDRs separated by commas; the word loopback" desc:"Reverse proxies whose X-Forwarded-For header is believed."`
	DefaultTimeZone  string        `env:"HANDOFF_DEFAULT_TIME_ZONE" envDefault:"UTC" allowed:"IANA name such as Asia/Hong_Kong" desc:"Time zone of the service hours of an Agent that has not chosen one."`
	Introspection    bool          `env:"HANDOFF_INTROSPECTION" envDefault:"true" allowed:"true or false" desc:"Whether the GraphQL schema can be queried."`
	IDE              bool          `env:"HANDOFF_IDE" envDefault:"true" allowed:"true or false" desc:"Whether browsers get the GraphQL IDE page at /graphql."`
	MaxComplexity    int           `env:"HANDOFF_MAX_COMPLEXITY" envDefault:"1000" min:"10" max:"1000000" desc:"Highest complexity of one GraphQL operation: about one per field, times the page size of lists."`
	MaxDepth         int           `env:"HANDOFF_MAX_DEPTH" envDefault:"15" min:"3" max:"100" desc:"Deepest nesting of one GraphQL operation."`
	MaxBodyBytes     int64         `env:"HANDOFF_MAX_BODY_BYTES" envDefault:"1048576" min:"1024" max:"67108864" desc:"Largest body of one HTTP request, in bytes."`
	MaxConnections   int           `env:"HANDOFF_MAX_CONNECTIONS" envDefault:"10000" min:"1" max:"1000000" desc:"Websockets open at a time in this process; plan 50 kB of memory for each."`
	MaxSubscriptions int           `env:"HANDOFF_MAX_SUBSCRIPTIONS" envDefault:"100" min:"1" max:"10000" desc:"Subscriptions open at a time on one websocket."`
	RelayWorkers     int           `env:"HANDOFF_RELAY_WORKERS" envDefault:"64" min:"1" max:"4096" desc:"Outgoing calls to desks and channels running at a time in this process."`
	DBMaxConnections int           `env:"HANDOFF_DB_MAX_CONNECTIONS" envDefault:"20" min:"2" max:"1000" desc:"Postgres connections in this process's pool."`
	ShutdownTimeout  time.Duration `env:"HANDOFF_SHUTDOWN_TIMEOUT" envDefault:"15s" min:"1s" max:"10m" desc:"How long a stopping process finishes requests and deliveries before it hands them back."`
	MetricsToken     Secret        `env:"HANDOFF_METRICS_TOKEN" default:"none; /metrics is open" allowed:"16 to 512 visible ASCII characters" desc:"If set, /metrics wants it as Bearer token."`

	publicURLDerived bool
}

// UsesPostgres reports whether a database server is configured; if not, the
// database is SQLite in the data directory.
func (c Config) UsesPostgres() bool { return !c.DatabaseURL.IsEmpty() }

// ListeningOn returns the configuration with the address that the server got,
// which differs from the configured one when that asked for port 0. A public
// URL that was derived from the address follows it.
func (c Config) ListeningOn(addr net.Addr) Config {
	c.Addr = addr.String()
	if c.publicURLDerived {
		c.PublicURL = urlOf(c.Addr)
	}
	return c
}

// urlOf is the URL under which a listener can be reached from this machine. A
// listener on all interfaces has no host of its own, so it becomes "localhost".
func urlOf(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
