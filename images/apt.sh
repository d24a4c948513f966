# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash disable=SC2016 # apt's own variables, not ours
# The system's own apt under a configuration of ours: own sources, lists and
# cache, and an empty status file, so that it computes whole closures, needs
# no root and changes nothing. Proxies and credentials stay the system's.
# Lists are verified by the archive's signatures, packages by the lists.

check_path

# Only these can be Debian's.
SUITE_NAMES='(buster|bullseye|bookworm|trixie|forky|duke|(old)*stable|testing|unstable|sid)'

# mirror_of main|security: what the user names, else where the system itself
# gets Debian from. Empty if neither is known.
mirror_of() {
  local suites=$SUITE_NAMES mirror
  [ "$1" = main ] || suites="$SUITE_NAMES(-security|/updates)"
  if [ -n "${IRQBED_DEBIAN_MIRROR:-}" ]; then
    mirror=${IRQBED_DEBIAN_MIRROR%/}
    [ "$1" = main ] || mirror=$mirror-security
    echo "$mirror"
    return
  fi
  # A system whose lists were never fetched cannot say whose a suite is. Should
  # the guess be wrong, the signatures do not fit.
  TARGETS=${TARGETS:-$(
    for info in --release-info --no-release-info; do
      apt-get indextargets "$info" --format '$(RELEASE) $(COMPONENT) $(REPO_URI) $(ORIGIN)' 2>/dev/null || true
    done
  )}
  mirror=$(awk -v suites="^$suites\$" '
    $1 ~ suites && $2 == "main" {
      if ($4 == "Debian") sure = $3
      else if ($4 ~ /^\$/ && (guess == "" || $3 ~ /\/debian(-security)?\/$/)) guess = $3
    }
    END { print sure == "" ? guess : sure }' <<<"$TARGETS")
  mirror=${mirror%/}
  if [ -z "$mirror" ] && [ "$1" = security ]; then
    mirror=$(mirror_of main)
    mirror=${mirror:+$mirror-security}
  fi
  echo "$mirror"
}

# apt_ready NAME: opens the suites SUITES_NAME of images/versions.
apt_ready() {
  local suites=SUITES_$1 keyring='' file suite mirror sources=()
  command -v apt-get >/dev/null || die "apt-get is missing: without it, set IRQBED_QEMU, IRQBED_KERNEL and IRQBED_KDIR"
  for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
    [ ! -r "$file" ] || keyring=$file
  done
  [ -n "$keyring" ] ||
    die "/usr/share/keyrings/debian-archive-keyring.gpg is missing, by which packages are verified: install debian-archive-keyring"
  # Both answers come from one question.
  mirror_of main >/dev/null
  for suite in ${!suites}; do
    mirror=$(mirror_of "${suite%%/*}")
    [ -n "$mirror" ] ||
      die "this system's apt knows no Debian mirror: name one, IRQBED_DEBIAN_MIRROR=http://HOST/debian"
    sources+=("deb [arch=amd64 target=Packages signed-by=$keyring] $mirror ${suite#*/} main")
  done
  apt_open "$1" "${sources[@]}"
}

# apt_open NAME SOURCE...: opens the archives of these lines of a sources.list.
apt_open() {
  APT=$STORE/apt/$1
  mkdir -p "$APT/lists/partial" "$APT/archives/partial"
  : >"$APT/status"
  printf '%s\n' "${@:2}" >"$APT/sources.list.new"
  cmp -s "$APT/sources.list.new" "$APT/sources.list" || rm -f "$APT/updated"
  mv "$APT/sources.list.new" "$APT/sources.list"
  # Given by -c, it is read after the system's and so wins. The system's hooks
  # are dropped: they tidy the system's own cache.
  cat >"$APT/apt.conf" <<CONF
#clear APT::Update;
#clear APT::Default-Release;
#clear APT::Architectures;
#clear DPkg;
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Dir::State "$APT";
Dir::State::Lists "$APT/lists";
Dir::State::status "$APT/status";
Dir::Cache "$APT";
Dir::Cache::Archives "$APT/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Log "$APT";
Dir::Etc::SourceList "$APT/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
CONF
  is_fresh || update || update_from_nothing ||
    die "cannot fetch Debian's package lists: $(why "$1-update")"
}

is_fresh() {
  [ -n "$(find "$APT/updated" -mmin -60 2>/dev/null)" ] && [ "$(cat "$APT/updated")" = "$(content_of "$APT/lists")" ]
}

update() {
  rm -f "$APT/updated"
  mkdir -p "$APT/lists/partial"
  run "${APT##*/}-update" apt-get -c "$APT/apt.conf" -q -o APT::Update::Error-Mode=any update || return 1
  content_of "$APT/lists" >"$APT/updated"
}

# Lists that were damaged are no base for new ones.
update_from_nothing() {
  rm -rf "$APT/lists" "$APT"/*.bin
  update
}

# newest PACKAGE [SUITE]: its version there, empty when there is none.
newest() {
  apt-cache -c "$APT/apt.conf" madison "$1" 2>/dev/null |
    awk -F ' *[|] *' -v suite="${2:-}" 'index($3, " " suite) && !found++ { print $2 }'
}

# pinned PART PACKAGE VERSION [SUITE]: VERSION where an archive has it, else the
# newest, with a line that says so. Empty when there is none. It reads the list of
# versions: `apt-cache show PACKAGE=VERSION` exits 0 for a version that is not there.
pinned() {
  local version
  if apt-cache -c "$APT/apt.conf" madison "$2" 2>/dev/null |
    awk -F ' *[|] *' -v version="$3" '$2 == version { found = 1 } END { exit !found }'; then
    echo "$3"
    return
  fi
  version=$(newest "$2" "${4:-}")
  [ -z "$version" ] || say "$1: the archive has moved on from $3 to $version"
  echo "$version"
}

# pinned_kernel FIXED NUMBER REST: the same of a kernel, whose packages have its
# release in their names. A newer one of its series and flavour has another number.
# The headers decide: an archive keeps images of older kernels without them.
pinned_kernel() {
  local release=$1$2$3 pattern="${1//./[.]}[0-9]+${3//+/[+]}"
  if [ -z "$(newest "linux-headers-$release")" ]; then
    release=$(apt-cache -c "$APT/apt.conf" search --names-only "^linux-headers-$pattern\$" |
      sed -E 's/^linux-headers-([^ ]+) .*/\1/' | sort -V | tail -n 1)
    [ -z "$release" ] || say "kernel: the archive has moved on from $1$2$3 to $release"
  fi
  echo "$release"
}

# closure_of SUITE PACKAGE...: all it needs, a PACKAGE=VERSION a line.
closure_of() {
  local suite=$1
  shift
  # 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE, the colon of an epoch as %3a
  apt-get -c "$APT/apt.conf" -qq -y --print-uris -t "$suite" install "$@" 2>"$STORE/log/closure.log" |
    awk '/^\047/ { split($2, part, "_"); gsub("%3a", ":", part[2]); print part[1] "=" part[2] }'
}

# fetch PART FOLDER PACKAGE...: these packages, into a folder, verified. What an
# earlier run left there is used as far as it is sound.
fetch() {
  local part=$1 folder=$2 sums file name log=${1%%:*}-fetch
  shift 2
  mkdir -p "$folder"
  # 'URI' NAME SIZE SHA256:HASH
  sums=$(apt-get -c "$APT/apt.conf" -qq --print-uris download "$@" 2>"$STORE/log/$log.log" |
    awk '/^\047/ && sub("^SHA256:", "", $4) { print $4 "  " $2; size += $3 } END { if (NR) print "#" int(size / 1e6 + 1) }') ||
    return 1
  say "$part (${sums##*#} MB)"
  sums=${sums%#*}
  for file in "$folder"/*; do
    name=${file##*/}
    if [ -f "$file" ] && ! (cd "$folder" && grep -F "  $name" <<<"$sums" | sha256sum --status -c - 2>/dev/null); then
      rm -f "$file"
    fi
  done
  (cd "$folder" && run "$log" apt-get -c "$APT/apt.conf" -q download "$@") || return 1
  (cd "$folder" && run "$log" sha256sum --quiet --strict -c - <<<"${sums%$'\n'}")
}

# unpack PART INTO PACKAGE...: fetches packages and unpacks them into a folder.
unpack() {
  local part=$1 into=$2 archive folder=$APT/packages/${1%%:*}
  shift 2
  # A package that the lists name and the mirror lacks: the lists are old.
  fetch "$part" "$folder" "$@" || { update && fetch "$part" "$folder" "$@"; } ||
    die "cannot fetch ${part%%:*}: $(why "${part%%:*}-fetch")"
  for archive in "$folder"/*.deb; do
    run "${part%%:*}-unpack" dpkg-deb -x "$archive" "$into" ||
      die "cannot unpack ${archive##*/}: $(why "${part%%:*}-unpack")"
  done
  rm -rf "$folder"
}
