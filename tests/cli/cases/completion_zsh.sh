# SPDX-License-Identifier: Apache-2.0
# The script loads in zsh and completes a verb, an option and a word, at a terminal.
command -v zsh >/dev/null || { echo "SKIP: there is no zsh"; exit 0; }
zsh -f -c 'zmodload zsh/zpty' 2>/dev/null || { echo "SKIP: this zsh has no zpty"; exit 0; }
touch model.onnx
zsh -f <<'END'
zmodload zsh/zpty
zpty shell zsh -f -i
send() { zpty -w shell "$1"; zpty -r -m shell text "*$2*" 2>/dev/null }
send 'PS1=; PS2=; autoload -Uz compinit; compinit -u -D; eval "$(assay completion zsh)"; unsetopt zle_bracketed_paste; bindkey "^I" complete-word; echo load''ed' loaded
try() {
    # The line is completed, then shown by a widget instead of being run.
    zpty -n -w shell "$1"$'\t'
    sleep 0.5
    zpty -n -w shell $'\C-a''print -r -- "<''<" "'$'\C-e''" ">''>"'$'\n'
    zpty -r -m shell text '*<< *>>*'
    print -r -- "$1: ${${text##*<< }%% >>*}"
}
try 'assay dev'
try 'assay query --lat'
try 'assay query --format js'
try 'assay lake ver'
try 'assay compare --fail-on sl'
END
