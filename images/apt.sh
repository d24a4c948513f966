# SPDX-License-Identifier: Apache-2.0 OR MIT
# shellcheck shell=bash disable=SC2016 # apt's own variables, not ours
# The system's own apt under a configuration of ours: own sources, lists and
# cache, and an empty status file, so that it computes whole closures, needs
# no root and changes nothing. Packages are verified by the archive's
# signatures, as ever.

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
APT=$STORE/apt

# Where the system itself gets Debian from, or what the user names.
mirrors() {
  MIRROR=${IRQBED_DEBIAN_MIRROR:-}
  SECURITY=
  local uri label
  if [ -z "$MIRROR" ]; then
    while read -r uri label; do
      case $label in
        Debian) MIRROR=${MIRROR:-$uri} ;;
        Debian-Security) SECURITY=${SECURITY:-$uri} ;;
      esac
    done < <(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 2>/dev/null | sort -u)
  fi
  if [ -z "$MIRROR" ]; then
    # A system whose lists were never fetched has no labels yet.
    MIRROR=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -E '/debian/?$' | head -n 1 || true)
  fi
  [ -n "$MIRROR" ] || die "this system's apt knows no Debian mirror: name one, IRQBED_DEBIAN_MIRROR=http://HOST/debian"
  MIRROR=${MIRROR%/}
  SECURITY=${SECURITY:-$MIRROR-security}
  SECURITY=${SECURITY%/}
  [ -f "$KEYRING" ] || die "$KEYRING is missing, by which packages are verified: install debian-archive-keyring"
}

# Sets up the private apt and fetches its lists, once a day.
apt_ready() {
  [ -z "${APT_IS_READY:-}" ] || return 0
  mirrors
  mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial"
  : >"$APT/status"
  local signed="[signed-by=$KEYRING arch=amd64]"
  {
    echo "deb $signed $MIRROR bookworm main"
    echo "deb $signed $SECURITY bookworm-security main"
    echo "deb $signed $MIRROR trixie main"
    echo "deb $signed $MIRROR trixie-backports main"
  } >"$APT/sources.list.new"
  cmp -s "$APT/sources.list.new" "$APT/sources.list" || rm -f "$APT/updated"
  mv "$APT/sources.list.new" "$APT/sources.list"
  cat >"$APT/apt.conf" <<CONF
Dir::Etc::SourceList "$APT/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$APT";
Dir::State::Lists "$APT/lists";
Dir::State::status "$APT/status";
Dir::Cache "$APT/cache";
APT::Install-Recommends "false";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
APT::Get::List-Cleanup "false";
Acquire::Languages "none";
Acquire::Retries "5";
CONF
  export APT_CONFIG=$APT/apt.conf
  if [ -z "$(find "$APT/updated" -mmin -1440 2>/dev/null)" ]; then
    run apt-update apt-get -q -y -o APT::Update::Error-Mode=any update ||
      die "cannot fetch the package lists: is the network there? (log: .irqbed/log/apt-update.log)"
    touch "$APT/updated"
  fi
  APT_IS_READY=1
}

# version_of PACKAGE SUITE: the newest version there, empty when there is none.
version_of() {
  apt-cache madison "$1" | awk -v suite="$2/" -F ' *[|] *' 'index($3, " " suite) { print $2; exit }'
}

# unpack_closure FOLDER SUITE PACKAGE...: packages with all they depend on.
unpack_closure() {
  local into=$1 suite=$2 list
  shift 2
  list=$APT/closure
  run apt-closure apt-get -q -y --simulate -t "$suite" install "$@" ||
    die "the archive cannot serve $*: see .irqbed/log/apt-closure.log"
  # "Inst name (epoch:version suite [architecture])", and the archive of it.
  sed -nE 's/^Inst ([^ ]+) \(([^ ]+) .*\[([a-z0-9]+)\].*/\1 \2 \3/p' "$STORE/log/apt-closure.log" |
    awk '{ gsub(":", "%3a", $2); print $1 "_" $2 "_" $3 ".deb" }' >"$list"
  run apt-fetch apt-get -q -y --download-only -t "$suite" install "$@" ||
    die "cannot fetch $*: is the network there, and room on the disk? (log: .irqbed/log/apt-fetch.log)"
  unpack_archives "$into" "$list"
}

# unpack_archives FOLDER LIST: the fetched archives of the list.
unpack_archives() {
  local archive
  while read -r archive; do
    dpkg-deb -x "$APT/cache/archives/$archive" "$1" 2>"$STORE/log/unpack.log" || {
      rm -f "$APT/cache/archives/$archive"
      die "$archive is damaged, or the disk is full: run this again"
    }
  done <"$2"
}

# unpack_only FOLDER PACKAGE=VERSION...: these packages and nothing else.
unpack_only() {
  local into=$1 archives=$APT/cache/only package
  shift
  rm -rf "$archives"
  mkdir -p "$archives"
  (cd "$archives" && run apt-download apt-get -q download "$@") ||
    die "cannot fetch $*: is the network there, and room on the disk? (log: .irqbed/log/apt-download.log)"
  for package in "$archives"/*.deb; do
    dpkg-deb -x "$package" "$into" 2>"$STORE/log/unpack.log" || die "cannot unpack $package: is the disk full?"
  done
  rm -rf "$archives"
}
