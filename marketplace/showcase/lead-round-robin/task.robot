*** Settings ***
Documentation    线索轮流分配：按团队顺序轮流分配新线索；已有负责人的不动，同一公司的线索归同一个人，休假的人跳过。
...    Assigns new leads in turn; leads with an owner stay, leads of one company go to one person, people on leave are passed over.
Library          Collections
Library          OperatingSystem
Library          String

*** Variables ***
${INPUT}            sample/leads.csv
${OUTPUT}           output
${TEAM}             王芳;李强;赵敏;黄磊
${ON_LEAVE}         ${EMPTY}
${LAST_ASSIGNEE}    ${EMPTY}

*** Tasks ***
Assign Leads In Turn
    @{leads}=    Read Table    ${INPUT}
    @{turns}=    People Whose Turn Comes
    &{owners}=    Owners By Company    ${leads}
    VAR    @{newly_assigned}
    FOR    ${lead}    IN    @{leads}
        VAR    ${owner}    ${lead}[负责人]
        IF    $owner    CONTINUE
        ${owner}=    Get From Dictionary    ${owners}    ${lead}[公司]    default=${EMPTY}
        IF    $owner
            VAR    ${reason}    同公司线索
        ELSE
            ${owner}=    Remove From List    ${turns}    0
            Append To List    ${turns}    ${owner}
            Set To Dictionary    ${owners}    ${lead}[公司]    ${owner}
            VAR    ${reason}    轮流分配
        END
        Set To Dictionary    ${lead}    负责人    ${owner}    分配方式    ${reason}
        Append To List    ${newly_assigned}    ${lead}
    END
    @{columns}=    Get Dictionary Keys    ${leads}[0]    sort_keys=False
    Remove Values From List    ${columns}    分配方式
    @{header}=    Create List    @{columns}    分配方式
    Write Table    ${OUTPUT}/assigned.csv    ${header}    ${leads}
    Write Workload    ${leads}    ${newly_assigned}
    ${count}=    Get Length    ${newly_assigned}
    Log    新分配 ${count} 条线索，下次从 ${turns}[0] 开始 / ${count} leads assigned, ${turns}[0] is next.    console=True

*** Keywords ***
People Whose Turn Comes
    [Documentation]    The team, starting behind the one who got the last lead, without those on leave.
    @{team}=    Split String    ${TEAM}    ;
    @{on_leave}=    Split String    ${ON_LEAVE}    ;
    VAR    @{first}
    VAR    @{then}
    VAR    ${passed}    ${EMPTY}
    FOR    ${person}    IN    @{team}
        IF    $passed
            Append To List    ${first}    ${person}
        ELSE
            Append To List    ${then}    ${person}
            ${last}=    Regexp Escape    ${LAST_ASSIGNEE}
            ${passed}=    Get Regexp Matches    ${person}    ^${last}$
        END
    END
    @{turns}=    Create List    @{first}    @{then}
    Remove Values From List    ${turns}    @{on_leave}
    Should Not Be Empty    ${turns}    没有可分配的人 / nobody is left to assign to
    RETURN    ${turns}

Owners By Company
    [Documentation]    Who looks after a company already, so that two colleagues never call the same customer.
    [Arguments]    ${leads}
    VAR    &{owners}
    FOR    ${lead}    IN    @{leads}
        VAR    ${owner}    ${lead}[负责人]
        IF    $owner    Set To Dictionary    ${owners}    ${lead}[公司]    ${owner}
    END
    RETURN    ${owners}

Write Workload
    [Documentation]    How many leads each person of the team holds now, and how many of them are new.
    [Arguments]    ${leads}    ${newly_assigned}
    @{team}=    Split String    ${TEAM}    ;
    @{all}=    Owners Of    ${leads}
    @{new}=    Owners Of    ${newly_assigned}
    VAR    @{workload}
    FOR    ${person}    IN    @{team}
        ${total}=    Count Values In List    ${all}    ${person}
        ${added}=    Count Values In List    ${new}    ${person}
        VAR    &{line}    负责人=${person}    新分配=${added}    名下合计=${total}
        Append To List    ${workload}    ${line}
    END
    @{header}=    Create List    负责人    新分配    名下合计
    Write Table    ${OUTPUT}/workload.csv    ${header}    ${workload}

Owners Of
    [Arguments]    ${leads}
    VAR    @{owners}
    FOR    ${lead}    IN    @{leads}
        Append To List    ${owners}    ${lead}[负责人]
    END
    RETURN    ${owners}

Read Table
    [Documentation]    The rows of a CSV file as dictionaries. Quoted cells may hold commas and quotes, but no line breaks.
    [Arguments]    ${path}
    ${text}=    Get File    ${path}    encoding=UTF-8-SIG
    @{lines}=    Split To Lines    ${text}
    Remove Values From List    ${lines}    ${EMPTY}
    @{header}=    Read Cells    ${lines}[0]
    VAR    @{rows}
    FOR    ${line}    IN    @{lines}[1:]
        @{cells}=    Read Cells    ${line}
        VAR    &{row}
        FOR    ${column}    ${cell}    IN ZIP    ${header}    ${cells}    mode=STRICT
            Set To Dictionary    ${row}    ${column}    ${cell}
        END
        Append To List    ${rows}    ${row}
    END
    RETURN    ${rows}

Read Cells
    [Arguments]    ${line}
    ${quoted}=    Get Regexp Matches    ${line}    "
    IF    $quoted
        @{cells}=    Read Quoted Cells    ${line}
    ELSE
        ${line}=    Replace String Using Regexp    ${line}    [ \t]*,[ \t]*    ,
        ${line}=    Strip String    ${line}
        @{cells}=    Split String    ${line}    ,
    END
    RETURN    ${cells}

Read Quoted Cells
    [Arguments]    ${line}
    @{cells}=    Get Regexp Matches    ${line}    (?:^|,)("(?:[^"]|"")*"|[^,]*)    1
    VAR    @{plain}
    FOR    ${cell}    IN    @{cells}
        ${cell}=    Replace String Using Regexp    ${cell}    ^"(.*)"$    \\1
        ${cell}=    Replace String    ${cell}    ""    "
        ${cell}=    Strip String    ${cell}
        Append To List    ${plain}    ${cell}
    END
    RETURN    ${plain}

Write Table
    [Documentation]    Writes a CSV file that Excel opens with Chinese text intact. A cell can't become a formula.
    [Arguments]    ${path}    ${header}    ${rows}
    ${first}=    Catenate    SEPARATOR=,    @{header}
    VAR    @{lines}    ${first}
    FOR    ${row}    IN    @{rows}
        VAR    @{cells}
        FOR    ${column}    IN    @{header}
            ${cell}=    Get From Dictionary    ${row}    ${column}    default=${EMPTY}
            Append To List    ${cells}    ${cell}
        END
        ${line}=    Write Cells    ${cells}
        Append To List    ${lines}    ${line}
    END
    ${text}=    Catenate    SEPARATOR=\n    @{lines}
    Create File    ${path}    ${text}\n    encoding=UTF-8-SIG

Write Cells
    [Documentation]    One line; only cells that need it are quoted or kept from becoming a formula.
    [Arguments]    ${cells}
    ${line}=    Catenate    SEPARATOR=\x1f    @{cells}
    ${special}=    Get Regexp Matches    ${line}    [,"]|(?:^|\x1f)[=@]
    IF    $special
        VAR    @{plain}    @{cells}
        VAR    @{cells}
        FOR    ${cell}    IN    @{plain}
            ${cell}=    Convert To String    ${cell}
            ${cell}=    Replace String Using Regexp    ${cell}    ^([=@])    '\\1
            ${cell}=    Replace String    ${cell}    "    ""
            ${cell}=    Replace String Using Regexp    ${cell}    ^(.*[,"].*)$    "\\1"
            Append To List    ${cells}    ${cell}
        END
        ${line}=    Catenate    SEPARATOR=,    @{cells}
    ELSE
        ${line}=    Replace String    ${line}    \x1f    ,
    END
    RETURN    ${line}
